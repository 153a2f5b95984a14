# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write the evidence of one host: a folder of files that a person can read, for their owner only.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import os
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean, clean_tree
from ansible_collections.oncall.pressure.plugins.plugin_utils import _documents

#: What stands in files of its own beside evidence.json.
_APART = ("log", "stacks")


def folder(report_dir: str, host: str) -> str:
    """Where the evidence of a host lies in a report's folder."""
    return os.path.join(report_dir, "evidence", _documents.safe_name(host))


def write(report_dir: str, host: str, document: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Write it and give its digest. The snapshot stands where a diagnosis of the saved run finds it. Raises OSError, ValueError.

    ``evidence.json``: everything but logs and stacks; ``SERVICE/log-N.txt`` and ``SERVICE/stacks.txt``: those, in lines.
    """
    cleaned = t.cast("dict[str, t.Any]", clean_tree(document))
    place = folder(report_dir, host)
    for here in (report_dir, os.path.dirname(place), place):
        # only the last folder of a path is made with the mode
        os.makedirs(here, mode=0o700, exist_ok=True)
    snapshot = cleaned.pop("snapshot", None)
    if isinstance(snapshot, dict):
        os.makedirs(os.path.join(report_dir, "snapshots"), mode=0o700, exist_ok=True)
        _documents.write_snapshot(report_dir, host, dict(snapshot, name=host))
    services = cleaned.get("services")
    for service, row in (services.items() if isinstance(services, dict) else ()):
        if not isinstance(row, dict):
            continue
        own = os.path.join(place, _documents.safe_name(service))
        os.makedirs(own, mode=0o700, exist_ok=True)
        for part in _APART:
            row[part] = _write_lines(own, part, row.pop(part, None))
    _documents.write_document(os.path.join(place, "evidence.json"), dict(cleaned, name=clean(host)))
    missing = [clean(str(line), 300) for line in _list(cleaned.get("missing"))]
    cost = cleaned.get("cost")
    seconds = cost.get("wall_s") if isinstance(cost, dict) and isinstance(cost.get("wall_s"), (int, float)) else None
    return {"answered": True, "path": place, "missing": missing, "seconds": seconds, "says": _says(host, place, missing)}


def unanswered(host: str, why: str) -> dict[str, t.Any]:
    """The digest of a host of which nothing could be kept."""
    missing = ["everything: %s" % clean(why, 300)]
    return {"answered": False, "path": None, "missing": missing, "seconds": None, "says": _says(host, None, missing)}


def _says(host: str, place: str | None, missing: t.Sequence[str]) -> str:
    text = "evidence of %s: %s" % (clean(host), place if place is not None else "none")
    return text + ("; missing: " + "; ".join(missing) if missing else "; complete")


def _write_lines(own: str, part: str, data: t.Any) -> list[str] | None:
    """The names of the files that were written; null where there is nothing of this part."""
    if not isinstance(data, dict):
        return None
    source = data.get("files") if part == "log" else data.get("processes")
    if not isinstance(source, dict):
        return None
    names = []
    if part == "stacks":
        text = "by %s\n" % data.get("by") + "".join("\nprocess %s\n%s\n" % (pid, "\n".join(map(str, _list(lines)))) for pid, lines in source.items())
        _documents.write_text(os.path.join(own, "stacks.txt"), text)
        return ["stacks.txt"]
    for number, (name, lines) in enumerate(source.items()):
        file = "log-%d.txt" % number
        _documents.write_text(os.path.join(own, file), "# %s\n%s\n" % (name, "\n".join(map(str, _list(lines)))))
        names.append(file)
    return names


def _list(value: t.Any) -> list[t.Any]:
    return value if isinstance(value, list) else []
