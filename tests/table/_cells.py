# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cells of the table: cells.yml, one snapshot over ssh, and what must hold of it."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Iterator, NamedTuple

import jsonschema
import yaml
from _common import ROOT, LabError
from _host import Host

HERE = Path(__file__).resolve().parent
DATA: dict[str, Any] = yaml.safe_load((HERE / "cells.yml").read_text(encoding="utf-8"))
WAYS = ("works", "absent", "denied", "hangs", "rubbish")
COLLECTORS = list(DATA["documents"])

# What may be more or less complete from one minute to the next by itself: how far the kernel's log reaches, how many units spoke, whose memory was
# read in time.
DRIFTS = {"oom": "reaches back", "logs": "are shown", "services": "PSS not read"}
# With more tasks than this for each processor the time is the machine's and not the product's.
BUSY = 1.5
_VALIDATOR = jsonschema.Draft202012Validator(json.loads((ROOT / "roles/diagnose/files/schemas/snapshot.json").read_text(encoding="utf-8")))


class Look(NamedTuple):
    """One call of the module: its exit status, what it printed, when the snapshot had arrived, how many tasks ran for each processor, and both documents."""

    status: int
    printed: str
    arrived_s: float | None
    busy: float
    snapshot: dict[str, Any]
    diagnosis: dict[str, Any]


def look(host: Host, folder: Path, user: str, urls: dict[str, str]) -> Look:
    """Measure the host over ssh as an operator does, and judge what came."""
    reports = folder / "reports"
    path = reports / "snapshots" / (host.name + ".json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    arguments = {"report_dir": str(reports), "window": DATA["window_s"], "health_urls": urls}
    program = Path(sys.executable).parent / "ansible"
    words = [str(program), "all", "-i", str(folder / "hosts.yml"), "-u", user, "-e", "ansible_user=" + user, "-m", "oncall.pressure.snapshot",
             "-a", json.dumps(arguments)]
    environment = dict(os.environ, ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), LC_ALL="C.UTF-8", PATH=os.pathsep.join([str(program.parent), os.environ["PATH"]]))
    environment.pop("PYTHONPATH", None)
    started = time.time()
    tasks = [running()]
    try:
        done = subprocess.run(words, cwd=str(ROOT), env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=150,
                              check=False)
    except subprocess.TimeoutExpired as problem:
        raise LabError("the module has not ended after 150 s") from problem
    tasks.append(running())
    busy = round(max(tasks), 1)
    printed = done.stdout.decode("utf-8", "backslashreplace")
    if not path.exists():
        return Look(done.returncode, printed, None, busy, {}, {})
    return Look(done.returncode, printed, round(path.stat().st_mtime - started, 2), busy, json.loads(path.read_text(encoding="utf-8")), _judge(path))


def _judge(path: Path) -> dict[str, Any]:
    """What the rules make of a saved snapshot, as ``diagnose`` reads it."""
    rules, thresholds = _rules()
    from ansible_collections.oncall.pressure.plugins.plugin_utils import _verdict
    return _verdict.judge(json.loads(path.read_text(encoding="utf-8")), rules, thresholds)


@functools.lru_cache(maxsize=None)
def _rules() -> tuple[Any, Any]:
    """The shipped rules of this tree, which has the name of a collection below a folder of its own."""
    made = ROOT / ".cache" / "table" / "ansible_collections" / "oncall"
    made.mkdir(parents=True, exist_ok=True)
    link = made / "pressure"
    if not link.is_symlink() or link.resolve() != ROOT:
        link.unlink(missing_ok=True)
        link.symlink_to(ROOT, target_is_directory=True)
    sys.path.insert(0, str(made.parent.parent))
    from ansible_collections.oncall.pressure.plugins.plugin_utils import _rules as rules
    found = rules.load_rules(str(ROOT / "roles/diagnose/files/rules")).rules
    return found, rules.resolve_thresholds(found, None)


def running() -> float:
    """How many tasks ran for each processor in the last minute."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)


def cut_short(found: Look, but: str = "") -> bool:
    """Whether the machine was too busy to let the collectors end, that of the cell itself left aside: it says nothing of the product then."""
    rows = [row for name, row in found.snapshot.get("collectors", {}).items() if name != but]
    return found.busy > BUSY and any(row["status"] == "error" and re.search("^not (finished|begun)", row["reason"] or "") for row in rows)


def at(document: Any, path: str) -> Any:
    """What stands at ``a.b[0].c`` or ``a[key=value].b``; null where there is no such place."""
    for name, inner in re.findall(r"([A-Za-z_]\w*)|\[([^\]]+)\]", path):
        if document is None:
            return None
        if name:
            document = document.get(name) if isinstance(document, dict) else None
        elif inner.isdigit():
            document = document[int(inner)] if isinstance(document, list) and len(document) > int(inner) else None
        else:
            key, unused, value = inner.partition("=")
            document = next((row for row in document if row.get(key) == value), None) if isinstance(document, list) else None
    return document


def texts(value: Any) -> Iterator[str]:
    """Every text of a document."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)


def wrong_of(cell: dict[str, Any], found: Look, base: Look | None, left: list[str]) -> list[str]:
    """What does not hold of a cell's look, one line each. ``base``: the same host looked at as the same user with everything working."""
    if found.arrived_s is None:
        return ["no snapshot arrived (exit status {0}): {1}".format(found.status, " ".join(found.printed.split())[-400:])]
    wrong = []
    if found.status != 0:
        wrong.append("exit status {0}".format(found.status))
    if found.arrived_s > DATA["within_s"] and found.busy <= BUSY:
        wrong.append("it arrived after {0} s, not within {1:g}".format(found.arrived_s, DATA["within_s"]))
    if "unreached" in found.snapshot:
        return [*wrong, "not reached: {0}".format(found.snapshot["unreached"])]
    wrong += ["the document is not valid: {0}".format(problem.message[:200]) for problem in list(_VALIDATOR.iter_errors(found.snapshot))[:3]]
    odd = next((text for text in texts(found.snapshot) if re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", text)), None)
    if odd is not None:
        wrong.append("a control character is in the document: {0!r}".format(odd[:100]))
    wrong += ["left running: {0}".format(line) for line in left[:3]]
    return wrong + _own(cell, found) + _others(cell, found, base) + _judged(cell, found)


def _own(cell: dict[str, Any], found: Look) -> list[str]:
    """The collector's own status, reason and facts."""
    wrong = []
    row = found.snapshot["collectors"][cell["collector"]]
    if row["status"] not in cell["status"]:
        wrong.append("{0} is {1} ({2}), not {3}".format(cell["collector"], row["status"], row["reason"], " or ".join(cell["status"])))
    pattern = cell["reason"] if cell["reason"] is not None else "^$"
    if not re.search(pattern, row["reason"] or "", re.DOTALL):
        wrong.append("its reason is {0!r}, not like {1!r}".format(row["reason"], pattern))
    wrong += ["{0} is {1!r}, not null".format(path, _short(at(found.snapshot, path))) for path in cell.get("null", ()) if at(found.snapshot, path) is not None]
    wrong += ["{0} is null".format(path) for path in cell.get("facts", ()) if at(found.snapshot, path) is None]
    wrong += ["{0} is {1!r}, not {2!r}".format(path, _short(at(found.snapshot, path)), value) for path, value in cell.get("value", {}).items()
              if at(found.snapshot, path) != value]
    return wrong


def _short(value: Any) -> str:
    return json.dumps(value)[:120]


def _others(cell: dict[str, Any], found: Look, base: Look | None) -> list[str]:
    """Every other collector says what it says where all works, and takes no longer than it may."""
    wrong = []
    for name, row in found.snapshot["collectors"].items():
        if name == cell["collector"]:
            continue
        if row["seconds"] > DATA["limits"][name] and found.busy <= BUSY:
            wrong.append("{0} took {1:.1f} s beside it, not at most {2:g}".format(name, row["seconds"], DATA["limits"][name]))
        if base is None or (name == "health" and "url" in cell):
            continue
        before = base.snapshot["collectors"][name]["status"]
        allowed = set(cell.get("others", {}).get(name, ())) | {before}
        if name in DRIFTS and before in ("ok", "partial") and (row["status"] == "ok" or re.match("[^;]*" + DRIFTS[name], row["reason"] or "")):
            allowed |= {"ok", "partial"}
        if cell.get("urls") is False and name == "health":
            allowed = {"absent"}
        if row["status"] not in allowed:
            wrong.append("{0} beside it is {1} ({2}), not {3}".format(name, row["status"], row["reason"], before))
        elif name not in cell.get("others", {}) and before in ("ok", "partial"):
            wrong += ["{0} beside it is null".format(path) for path in DATA["documents"][name]
                      if at(base.snapshot, path) is not None and at(found.snapshot, path) is None]
    return wrong


def _judged(cell: dict[str, Any], found: Look) -> list[str]:
    """Never healthy where an essential fact is missing, by a list of these that is not the product's; and what is missing is said."""
    snapshot, state = found.snapshot, found.diagnosis["state"]
    essential = ["host.memory.available_bytes", "host.cpu.used_pct", "services", "oom.kills"]
    missing = [path for path in essential if at(snapshot, path) is None]
    if cell.get("urls") is not False and snapshot["collectors"]["health"]["status"] != "ok":
        missing.append("health")
    wrong = []
    if missing and state == "healthy":
        wrong.append("called healthy without {0}".format(", ".join(missing)))
    said = json.dumps([found.diagnosis.get("missing"), found.diagnosis.get("unknown"), found.diagnosis.get("reason")])
    for name, row in snapshot["collectors"].items():
        if row["status"] in ("error", "denied") and missing and name in ("host", "services", "oom", "health") and name not in said:
            wrong.append("the diagnosis does not say that {0} is missing".format(name))
    return wrong
