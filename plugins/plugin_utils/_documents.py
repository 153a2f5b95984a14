# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read and write the documents of a run: snapshots, the diagnosis, the report.

Private to oncall.pressure: no stable interface.

Documents are for their owner only (folder 0700, files 0600) and replaced whole, so that a reader never sees half of one.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import stat
import tempfile
import time
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean, clean_tree

#: The largest document that is read, in bytes: a host chooses what it sends.
DOCUMENT_LIMIT = 8 * 1024 * 1024

SCHEMA = 1

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


class Loaded(t.NamedTuple):
    """One snapshot read from a folder: the inventory name, the document or null, and why it is null."""

    host: str
    document: dict[str, t.Any] | None
    reason: str | None


class BadDocument(ValueError):
    """A document that cannot be used; its text says what is wrong with it."""


def safe_name(host: str) -> str:
    """A file name for an inventory name: itself where it is plain, else its plain characters and a digest.

    An inventory name may hold anything (``../``, ``/``, a URL); two names never share a file.
    """
    if _PLAIN.fullmatch(host):
        return host
    digest = hashlib.sha256(host.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return "%s~%s" % (re.sub(r"[^A-Za-z0-9-]+", "_", host)[:60].strip("_-") or "host", digest)


def write_text(path: str, text: str) -> None:
    """Write a whole file at once, mode 0600. Raises OSError."""
    folder = os.path.dirname(path) or "."
    descriptor, temporary = tempfile.mkstemp(prefix=".", suffix=".new", dir=folder)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        if os.path.lexists(temporary):
            os.unlink(temporary)
        raise


def write_document(path: str, document: t.Mapping[str, t.Any]) -> None:
    """Write a document as JSON (ASCII only, keys in order), at once, mode 0600. Raises OSError."""
    write_text(path, json.dumps(document, indent=1, sort_keys=True, ensure_ascii=True, allow_nan=False) + "\n")


def snapshot_path(report_dir: str, host: str) -> str:
    """Where the snapshot of a host lies in a report's folder."""
    return os.path.join(report_dir, "snapshots", safe_name(host) + ".json")


def write_snapshot(report_dir: str, host: str, document: t.Mapping[str, t.Any]) -> str:
    """Write one host's snapshot, cleaned once more, under the name that the inventory gives it. Returns the path.

    Raises BadDocument for a document that is no snapshot or is too large, OSError where it cannot be written.
    """
    cleaned = dict(check(clean_tree(_numbers(document))), name=clean(host))
    path = snapshot_path(report_dir, host)
    write_document(path, cleaned)
    return path


def unreached(host: str, reason: str) -> dict[str, t.Any]:
    """The document of a host that gave no answer."""
    return {"schema": SCHEMA, "name": clean(host), "unreached": clean(reason)}


def make_folder(path: str) -> None:
    """Make a report's folder and its ``snapshots``, for their owner only. Raises OSError."""
    os.makedirs(path, mode=0o700, exist_ok=True)
    os.makedirs(os.path.join(path, "snapshots"), mode=0o700, exist_ok=True)


def new_folder(base: str, now_s: float | None = None) -> str:
    """Make a new folder ``base/<UTC time>`` for one run and return it; a second run in the same second gets its own. Raises OSError."""
    os.makedirs(base, mode=0o700, exist_ok=True)
    name = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_s))
    for number in range(1000):
        path = os.path.join(base, name if not number else "%s-%d" % (name, number))
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            continue
        os.mkdir(os.path.join(path, "snapshots"), 0o700)
        return path
    raise OSError("no free name for a report under %s" % base)


def point_latest(folder: str) -> bool:
    """Point the link ``latest`` beside a report's folder at it, in one step. False where something else has that name or links are refused."""
    base, name = os.path.split(os.path.abspath(folder))
    link = os.path.join(base, "latest")
    if name == "latest" or (os.path.lexists(link) and not os.path.islink(link)):
        return False
    temporary = os.path.join(base, ".latest.%d" % os.getpid())
    try:
        if os.path.lexists(temporary):
            os.unlink(temporary)
        os.symlink(name, temporary)
        os.replace(temporary, link)
    except OSError:
        return False
    return True


def read_snapshots(folder: str) -> list[Loaded]:
    """Every snapshot in a folder, or in its ``snapshots``, by host name. A bad one is a row with its reason.

    Raises OSError where the folder cannot be read.
    """
    inner = os.path.join(folder, "snapshots")
    folder = inner if os.path.isdir(inner) else folder
    names = sorted(name for name in os.listdir(folder) if name.endswith(".json") and not name.startswith("."))
    loaded: dict[str, Loaded] = {}
    for name in names:
        row = _read(os.path.join(folder, name), name[: -len(".json")])
        if row.host not in loaded or loaded[row.host].document is None:
            loaded[row.host] = row
    return [loaded[host] for host in sorted(loaded)]


def _read(path: str, name: str) -> Loaded:
    try:
        document = check(_numbers(_load(path)))
    except (BadDocument, OSError) as problem:
        text = problem.strerror if isinstance(problem, OSError) else str(problem)
        return Loaded(clean(name), None, clean("snapshot %s: %s" % (os.path.basename(path), text or "cannot be read")))
    host = document.get("name")
    cleaned = t.cast("dict[str, t.Any]", clean_tree(document))
    return Loaded(clean(host) if isinstance(host, str) and host else clean(name), cleaned, None)


def read_document(path: str) -> dict[str, t.Any]:
    """A document of a run that is no snapshot. Raises BadDocument, which names the file, and OSError."""
    try:
        return t.cast("dict[str, t.Any]", clean_tree(check(_numbers(_load(path)))))
    except BadDocument as problem:
        raise BadDocument("%s: %s" % (path, problem)) from None


def _load(path: str) -> t.Any:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0))
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise BadDocument("it is no file")
        data = stream.read(DOCUMENT_LIMIT + 1)
    if len(data) > DOCUMENT_LIMIT:
        raise BadDocument("it is larger than %d MiB" % (DOCUMENT_LIMIT // 1048576))
    try:
        return json.loads(data.decode("utf-8", "backslashreplace"))
    except (ValueError, RecursionError):
        raise BadDocument("it is no JSON") from None


#: No figure of a host is larger.
_LARGEST: t.Final = 2**80


def _numbers(value: t.Any, depth: int = 32) -> t.Any:
    """The value without what JSON has no numbers for (NaN, Infinity) and nothing deeper than ``depth``: null instead."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):
        return value if abs(value) <= _LARGEST else None
    if isinstance(value, (dict, list, tuple)) and depth <= 0:
        return None
    if isinstance(value, dict):
        return {str(key): item if item is None or isinstance(item, str) else _numbers(item, depth - 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_numbers(item, depth - 1) for item in value]
    return value


def check(document: t.Any) -> dict[str, t.Any]:
    """The document, if it is a snapshot of a schema that is known. Raises BadDocument."""
    if not isinstance(document, dict):
        raise BadDocument("it is no snapshot")
    if document.get("schema") != SCHEMA or isinstance(document.get("schema"), bool):
        raise BadDocument("its schema is %s, known is %d" % (clean(str(document.get("schema")), 20), SCHEMA))
    return document
