# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find what a kernel complains of besides kills: stuck tasks and processors, lack of memory or room, heat, disks that fail, programs that crash.

Private to oncall.pressure: no stable interface. Pure: records in, plain data out. Sources: kernel/hung_task.c, kernel/watchdog.c, kernel/rcu/tree_stall.h,
mm/page_alloc.c, arch/x86/kernel/cpu/mce/therm_throt.c, block/blk-core.c, arch/x86/mm/fault.c, net/ipv4/tcp_input.c, kernel/cgroup/pids.c.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._parse._log_line import Record


class Alarm(t.NamedTuple):
    """One line. kind: a name of KINDS; about: the process, processor, device, port or cgroup that it names, null where it names none;
    uptime_s, time_s: its time where it can be told."""

    kind: str
    about: str | None
    uptime_s: float | None
    time_s: float | None


# kind, and how its line reads; of what is told in several lines the one that stands in each report
_FORMS = (
    ("hung_task", r"INFO: task (?P<about>.{1,64}?):\d{1,10} blocked for more than \d{1,10} seconds"),
    ("soft_lockup", r"BUG: soft lockup - CPU#\d{1,5} stuck for \d{1,10}s! \[(?P<about>[^\]\n]{1,64}?)(?::\d{1,10})?\]"),
    ("hard_lockup", r"Watchdog detected hard LOCKUP on cpu (?P<about>\d{1,5})"),
    ("rcu_stall", r"INFO: (?:rcu_\w{1,20}) (?:self-)?detected (?:expedited )?stalls? on (?:CPU|CPUs/tasks)"),
    ("allocation_failure", r"^(?P<about>.{1,64}?): page allocation failure[.:] order:\d"),
    ("throttled", r"CPU ?(?P<about>\d{1,5}): (?:Core|Package) temperature(?:/speed)? above threshold, cpu clock throttled"),
    ("io_error", r"(?:I/O|critical (?:medium|target|space allocation)) error, dev (?P<about>[\w!-]{1,40}), sector \d"),
    ("read_only", r"\((?P<about>[\w!-]{1,40})\): Remounting filesystem read-only"),
    ("crash", r"^(?:traps: )?(?P<about>.{1,64}?)\[\d{1,10}\]:? "
              r"(?:segfault at [0-9a-f]|general protection(?: fault)? ip:|trap (?:invalid opcode|divide error|int3|stack segment))"),
    ("connections_dropped", r"nf_conntrack: (?:nf_conntrack: )?table full, dropping packet"),
    ("syn_flood", r"Possible SYN flooding on port (?P<about>\S{1,80}?)\. (?:Sending cookies|Dropping request)"),
    ("sockets_without_memory", r"TCP: (?:out of memory -- consider tuning tcp_mem|too many orphaned sockets)"),
    ("fork_refused", r"cgroup: fork rejected by pids controller in (?P<about>\S{1,400})"),
)
_PATTERNS = tuple((kind, re.compile(form)) for kind, form in _FORMS)

KINDS: t.Final[tuple[str, ...]] = tuple(kind for kind, dummy in _FORMS)

#: What a line holds that matters here.
_WORDS = (
    "blocked for more than", "soft lockup", "hard LOCKUP", "detected stall", "detected expedited stall", "page allocation failure",
    "above threshold, cpu clock", " error, dev ", "Remounting filesystem read-only", "segfault at ", "general protection", " trap ",
    "table full, dropping", "SYN flooding", "tuning tcp_mem", "orphaned sockets", "fork rejected",
)


def interesting(line: str) -> bool:
    """Whether a line may tell of an alarm; all others may be left out before parsing."""
    return any(word in line for word in _WORDS)


def parse_records(rows: t.Iterable[Record]) -> list[Alarm]:
    """Every alarm that messages of the kernel tell of, in their order. Other programs that quote one do not count."""
    found = []
    for row in rows:
        if row.program not in ("", "kernel") or not interesting(row.message):
            continue
        for kind, pattern in _PATTERNS:
            told = pattern.search(row.message)
            if told is not None:
                about = told.groupdict().get("about")
                found.append(Alarm(kind, about.strip() or None if about is not None else None, row.uptime_s, row.time_s))
                break
    return found
