# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets plain pytest import the collection by its full name, from a clone of any name and place.

The name ``ansible_collections.oncall.pressure`` is three namespace folders (PEP 420), so a folder
that holds ``ansible_collections/oncall/pressure`` as a link to this tree is all it takes; Ansible
itself need not be installed.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, List

hypothesis: Any = None
try:
    import hypothesis
except ImportError:
    # the checks of the artifact install only what running needs
    pass

# Tests that run side by side must draw the same parameters: what draws at collection begins from one seed, which is printed.
SEED = os.environ.setdefault("PRESSURE_TEST_SEED", str(random.SystemRandom().randrange(10**6)))
random.seed(SEED)

ROOT = Path(__file__).resolve().parent.parent
_TEMPORARY: List[Path] = []


def _collection_path() -> Path:
    """The folder to put on sys.path: the environment's own, or a temporary one where there is none."""
    made = ROOT / ".venv" / "collections"
    link = made / "ansible_collections" / "oncall" / "pressure"
    if link.exists() and link.resolve() == ROOT:
        return made
    folder = Path(tempfile.mkdtemp(prefix="pressure-collections-"))
    _TEMPORARY.append(folder)
    parent = folder / "ansible_collections" / "oncall"
    parent.mkdir(parents=True)
    (parent / "pressure").symlink_to(ROOT, target_is_directory=True)
    return folder


def pytest_report_header() -> str:
    """Say what draws everything again as this run did."""
    return "drawn from PRESSURE_TEST_SEED=%s" % SEED


def pytest_unconfigure(config: Any) -> None:
    """Remove what this run made, and end with the line of counts that the stages add up."""
    for folder in _TEMPORARY:
        shutil.rmtree(str(folder), ignore_errors=True)
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or hasattr(config, "workerinput"):
        return
    counts = {name: len(reporter.stats.get(name, [])) for name in ("passed", "failed", "error", "skipped")}
    if any(counts.values()):
        reporter.write_line("%d passed, %d failed, %d skipped" % (counts["passed"], counts["failed"] + counts["error"], counts["skipped"]))


sys.path.insert(0, str(_collection_path()))

if hypothesis is not None:
    # No deadline: a test that is timed fails on a busy machine. Nothing is kept between runs: what failed is printed, ready to be put into a test.
    hypothesis.settings.register_profile("pressure", deadline=None, database=None, print_blob=True)
    hypothesis.settings.load_profile("pressure")
