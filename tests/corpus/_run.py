# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hold the parsers against corpora of labelled real texts: right, refused with a reason, wrong.

DIR holds a folder per corpus: ``oom/oom.jsonl`` and ``commands/commands.jsonl``, one JSON object a line with ``id``, the text and its ``label``.
The command lines serve twice: they are read, and the worker count of those that set one is rewritten and read back. ``cron/cron.jsonl`` says
which jobs each file in ``cron/files/`` has: they are read, paused and resumed. ``logs/logs.jsonl`` has excerpts of logs and the ``signal`` of each.
The exit status is 1 when anything is wrong or the share refused is over its bound, 2 when there was nothing to check.
"""

from __future__ import annotations

import argparse
import importlib
import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import List, NamedTuple, Optional, Sequence, Tuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


class Corpus(NamedTuple):
    """Which folder a check reads, the share of it that may be refused, and whether it draws at random."""

    folder: str
    most_refused: float
    drawn: bool = False


CORPORA = {"oom": Corpus("oom", 0.1), "commands": Corpus("commands", 0.1), "rewrites": Corpus("commands", 0.05, True),
           "cron": Corpus("cron", 0.02, True), "logs": Corpus("logs", 0.02)}


def check(name: str, folder: Path, seed: int = 0) -> List[Tuple[str, str, str]]:
    """The rows (id, outcome, detail) of one corpus."""
    module = importlib.import_module("_" + name)
    return [tuple(row) for row in (module.check(folder, seed) if CORPORA[name].drawn else module.check(folder))]


def tell(name: str, rows: Sequence[Tuple[str, str, str]], show_refused: bool = True) -> bool:
    """Print one corpus; whether it is as it must be."""
    most_refused = CORPORA[name].most_refused
    outcomes = [outcome for dummy, outcome, dummy2 in rows]
    counts = {outcome: outcomes.count(outcome) for outcome in ("right", "refused", "wrong")}
    unknown = len(rows) - sum(counts.values())
    share = counts["refused"] / len(rows) if rows else 0.0
    print("%-9s %4d items: %d right, %d refused (%.1f %%), %d wrong" % (name, len(rows), counts["right"], counts["refused"], share * 100, counts["wrong"]))
    for identifier, outcome, detail in rows:
        if outcome == "refused" and show_refused:
            print("  refused  %s: %s" % (identifier, detail))
    for identifier, outcome, detail in rows:
        if outcome not in ("right", "refused"):
            print("  WRONG    %s: %s" % (identifier, detail))
    if share > most_refused:
        print("  more than %.0f %% refused" % (most_refused * 100))
    return bool(rows) and not counts["wrong"] and not unknown and share <= most_refused


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the checks that the command line asks for; returns the exit status."""
    parser = argparse.ArgumentParser(prog="tests/corpus/run", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("dir", metavar="DIR", type=Path, help="the folder that holds a folder per corpus")
    parser.add_argument("--only", choices=sorted(CORPORA), help="just this corpus")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31), help="draw the same counts again")
    parsed = parser.parse_args(arguments)
    names = [name for name in CORPORA if parsed.only in (None, name)]
    present = [name for name in names if (parsed.dir / CORPORA[name].folder).is_dir()]
    for name in names:
        if name not in present:
            print("%-9s not in %s" % (name, parsed.dir), file=sys.stderr)
    if not present:
        print("nothing to check: give a folder that holds %s" % " or ".join(sorted({CORPORA[name].folder for name in names})), file=sys.stderr)
        return 2
    if any(CORPORA[name].drawn for name in present):
        print("seed %d" % parsed.seed)
    good = [tell(name, check(name, parsed.dir / CORPORA[name].folder, parsed.seed)) for name in present]
    return 0 if all(good) and (parsed.only is None or len(present) == len(names)) else 1


def _with_collection(arguments: Optional[Sequence[str]] = None) -> int:
    """Run main with this tree importable under its collection name, whatever the clone is called; Ansible is not needed."""
    folder = Path(tempfile.mkdtemp(prefix="pressure-corpus-"))
    try:
        parent = folder / "ansible_collections" / "oncall"
        parent.mkdir(parents=True)
        (parent / "pressure").symlink_to(ROOT, target_is_directory=True)
        sys.path[:0] = [str(folder), str(HERE)]
        return main(arguments)
    finally:
        shutil.rmtree(str(folder), ignore_errors=True)


if __name__ == "__main__":
    sys.exit(_with_collection())
