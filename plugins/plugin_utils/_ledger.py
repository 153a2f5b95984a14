# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ledger of a run: one outcome for each host that may be changed, and whether the next host may begin.

Private to oncall.pressure: no stable interface.

Ansible counts neither a rescued failure nor, for ``max_fail_percentage``, a host that cannot be reached. So the gate believes none of its counts: a host
may begin only while every host that began before it ended well, and one that began and never wrote how it ended has not.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean, clean_tree
from ansible_collections.oncall.pressure.plugins.plugin_utils._documents import SCHEMA, BadDocument, read_document, safe_name, write_document

Outcome = dict[str, t.Any]

#: How a host may end so that others may follow.
GOOD: t.Final = ("closed", "improved", "moved_on", "checked")

#: Those of them on which something was done: only they show that it helps.
PROVEN: t.Final = ("closed", "improved", "checked")

#: How it may end so that none may.
BAD: t.Final = ("unchanged", "partly", "refused", "held", "lost", "failed")

#: It began and has not ended.
BEGUN: t.Final = "begun"


def folder(report_dir: str) -> str:
    """Where the outcomes of a run lie."""
    return os.path.join(report_dir, "outcomes")


def path(report_dir: str, host: str) -> str:
    """Where the outcome of a host lies."""
    return os.path.join(folder(report_dir), safe_name(host) + ".json")


def read(report_dir: str, host: str) -> Outcome | None:
    """The outcome of a host; null where it has none. Raises BadDocument, OSError."""
    try:
        document = read_document(path(report_dir, host))
    except FileNotFoundError:
        return None
    if not isinstance(document, dict) or document.get("schema") != SCHEMA or document.get("kind") != "outcome":
        raise BadDocument("%s is no outcome" % path(report_dir, host))
    return document


def write(report_dir: str, outcome: Outcome) -> None:
    """Write an outcome whole. Raises OSError."""
    os.makedirs(folder(report_dir), mode=0o700, exist_ok=True)
    write_document(path(report_dir, outcome["host"]), clean_tree(outcome))


def read_all(report_dir: str) -> dict[str, Outcome]:
    """Every outcome by host. What cannot be read counts as begun: it is not known how it ended. Raises OSError."""
    found: dict[str, Outcome] = {}
    try:
        names = sorted(os.listdir(folder(report_dir)))
    except FileNotFoundError:
        return found
    for name in names:
        if not name.endswith(".json") or name.startswith("."):
            continue
        try:
            document = read_document(os.path.join(folder(report_dir), name))
        except BadDocument:
            document = None
        host = document.get("host") if isinstance(document, dict) else None
        if isinstance(host, str) and isinstance(document, dict):
            found[host] = document
        else:
            found[name[:-len(".json")]] = {"host": name[:-len(".json")], "state": BEGUN}
    return found


@contextlib.contextmanager
def alone(report_dir: str) -> t.Iterator[None]:
    """Only one process at a time decides who begins. Raises OSError."""
    os.makedirs(folder(report_dir), mode=0o700, exist_ok=True)
    descriptor = os.open(os.path.join(folder(report_dir), ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def stopped(outcomes: t.Mapping[str, Outcome], host: str, batch: t.Collection[str]) -> str | None:
    """Why a host must not begin; null where it may. ``batch``: the hosts that the play still works on at this moment."""
    others = {name: str(outcome.get("state")) for name, outcome in outcomes.items() if name != host}
    bad = sorted(name for name, state in others.items() if state not in GOOD and state not in (BEGUN, "held"))
    if bad:
        return "stopped: %s ended as %s" % (_some(bad), others[bad[0]].replace("_", " "))
    gone = sorted(name for name, state in others.items() if state == BEGUN and name not in batch)
    if gone:
        return "stopped: %s began and never said how it ended" % _some(gone)
    if any(state == "held" for state in others.values()):
        return "stopped, as were others before it"
    begun = sorted(name for name, state in others.items() if state == BEGUN)
    if begun and not any(state in PROVEN for state in others.values()):
        return "%s is under way and none has ended well yet: one host comes first (this play begins several at once: set serial)" % _some(begun)
    return None


def _some(names: t.Sequence[str]) -> str:
    return "%s%s" % (clean(names[0], 60), " and %d more" % (len(names) - 1) if len(names) > 1 else "")
