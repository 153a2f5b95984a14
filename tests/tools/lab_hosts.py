# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one door to testinfra: hosts of the lab, looked at independently of the product."""

from __future__ import annotations

import json
import os
import shutil
import typing as t
from pathlib import Path

import testinfra

NAMES = ("lab-1", "lab-2", "lab-3")


def connect(name: str) -> t.Any:
    """A host of the lab, entered by its engine and not by the way that the product took."""
    engine = "docker" if shutil.which("docker") else "podman"
    return testinfra.get_host("%s://%s" % (engine, name))


def output(host: t.Any, command: str) -> str:
    """What a command prints on a host; it must succeed."""
    result = host.run(command)
    assert result.rc == 0, (command, result.stderr)
    return str(result.stdout).strip()


def documents(who: str) -> Path:
    """The folder of the newest run as one of the scenario's users."""
    return Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / who / "latest"


def snapshot(who: str, name: str) -> dict[str, t.Any]:
    """One host's snapshot."""
    return t.cast("dict[str, t.Any]", json.loads((documents(who) / "snapshots" / (name + ".json")).read_text(encoding="utf-8")))


def diagnosis(who: str) -> dict[str, t.Any]:
    """The diagnosis of one run."""
    return t.cast("dict[str, t.Any]", json.loads((documents(who) / "diagnosis.json").read_text(encoding="utf-8")))
