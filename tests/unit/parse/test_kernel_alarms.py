# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a kernel complains of besides kills."""

from __future__ import annotations

from typing import Optional

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.oncall.pressure.plugins.module_utils._parse import _kernel_alarms
from ansible_collections.oncall.pressure.plugins.module_utils._parse._log_line import Record, records

# "crash" and "fork_refused" are lines of Linux 6.18, the others are in the words of the sources that the parser names
LINES = [
    ("hung_task", "jbd2/sda1-8", "INFO: task jbd2/sda1-8:412 blocked for more than 120 seconds."),
    ("hung_task", "gunicorn: worker", "INFO: task gunicorn: worker:912 blocked for more than 241 seconds."),
    ("soft_lockup", "kworker/1:3", "watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [kworker/1:3:812]"),
    ("soft_lockup", "python3", "BUG: soft lockup - CPU#0 stuck for 67s! [python3:4711]"),
    ("hard_lockup", "2", "NMI watchdog: Watchdog detected hard LOCKUP on cpu 2"),
    ("rcu_stall", None, "rcu: INFO: rcu_preempt self-detected stall on CPU"),
    ("rcu_stall", None, "INFO: rcu_sched detected stalls on CPUs/tasks: { 1} (detected by 0, t=5252 jiffies)"),
    ("allocation_failure", "kworker/u8:0", "kworker/u8:0: page allocation failure: order:4, mode:0xcc0(GFP_KERNEL), nodemask=(null)"),
    ("allocation_failure", "swapper/0", "swapper/0: page allocation failure. order:1, mode:0x20"),
    ("throttled", "3", "CPU3: Core temperature above threshold, cpu clock throttled (total events = 1)"),
    ("throttled", "0", "mce: CPU0: Package temperature above threshold, cpu clock throttled (total events = 55)"),
    ("io_error", "sdb", "blk_update_request: I/O error, dev sdb, sector 1953524992 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 0"),
    ("io_error", "nvme0n1", "critical medium error, dev nvme0n1, sector 8 op 0x0:(READ) flags 0x80700 phys_seg 1 prio class 2"),
    ("read_only", "sda1", "EXT4-fs (sda1): Remounting filesystem read-only"),
    ("crash", "python3", "python3[3180]: segfault at 0 ip 00007fd67c075219 sp 00007ffd295e1b08 error 4 in libc.so.6[156219,7fd67bf45000+156000]"),
    ("crash", "gunicorn", "traps: gunicorn[812] general protection fault ip:7f3a1c sp:7ffd11 error:0 in _imaging.so[7f3a1c000000+5000]"),
    ("crash", "celery", "traps: celery[9] trap invalid opcode ip:55d0 sp:7ffc error:0 in numpy.so[55d0+1]"),
    ("connections_dropped", None, "nf_conntrack: nf_conntrack: table full, dropping packet"),
    ("syn_flood", "443", "TCP: request_sock_TCP: Possible SYN flooding on port 443. Sending cookies.  Check SNMP counters."),
    ("syn_flood", "0.0.0.0:80", "TCP: request_sock_TCP: Possible SYN flooding on port 0.0.0.0:80. Dropping request."),
    ("sockets_without_memory", None, "TCP: out of memory -- consider tuning tcp_mem"),
    ("sockets_without_memory", None, "TCP: too many orphaned sockets"),
    ("fork_refused", "/system.slice/shop-web.service", "cgroup: fork rejected by pids controller in /system.slice/shop-web.service"),
]


@pytest.mark.parametrize(("kind", "about", "message"), LINES)
def test_each_kind_is_found_with_whom_it_names(kind: str, about: Optional[str], message: str) -> None:
    found = _kernel_alarms.parse_records(records("6,1,29024639622,-;" + message))
    assert [(alarm.kind, alarm.about, alarm.uptime_s) for alarm in found] == [(kind, about, 29024.639622)]


def test_every_kind_has_a_line_here() -> None:
    assert {kind for kind, unused, also in LINES} == set(_kernel_alarms.KINDS)


@pytest.mark.parametrize("line", [
    # a program's own words, in the ring (facility 3) and in the journal
    "30,1,5,-;myapp[3]: INFO: task jbd2:412 blocked for more than 120 seconds.",
    '{"MESSAGE": "python3[3180]: segfault at 0 ip 0", "SYSLOG_IDENTIFIER": "shop"}',
    # what is normal
    "6,1,5,-;EXT4-fs (sda1): mounted filesystem with ordered data mode",
    "6,1,5,-;CPU3: Core temperature/speed normal",
    "6,1,5,-;TCP: Hash tables configured (established 65536 bind 65536)",
    "3,1,5,-;Memory cgroup out of memory: Killed process 7 (gunicorn) total-vm:9kB, anon-rss:8kB, file-rss:0kB, shmem-rss:0kB, UID:33",
])
def test_what_is_no_alarm_of_the_kernel(line: str) -> None:
    assert _kernel_alarms.parse_records(records(line)) == []


MORE = ["INFO: task ", " blocked for more than ", "[", "]: segfault at 0", ": page allocation failure: order:", "\\x"]
PIECES = [message for unused, also, message in LINES] + MORE


@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=40)), max_size=6).map("".join))
@example("INFO: task " * 2000 + ":1 blocked for more than 1 seconds")
@example("[" * 16000)
def test_anything_at_all_is_read_and_nothing_is_made_up(message: str) -> None:
    for alarm in _kernel_alarms.parse_records([Record(None, 1.0, "kernel", message)]):
        assert alarm.kind in _kernel_alarms.KINDS
        assert alarm.about is None or alarm.about in message
