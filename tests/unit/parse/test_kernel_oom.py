# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's OOM kills in the words of many kernels, behind the prefixes of many programs."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._parse import _kernel_oom, _log_line
from ansible_collections.oncall.pressure.plugins.module_utils._parse._kernel_oom import parse

RECORDINGS = Path(__file__).resolve().parent.parent / "recordings" / "oom"

DOCKER_V1 = "/docker/4f0e1d2c3b4a59687786958493a2b1c0d9e8f7a6b5c4d3e2f1a0b9c8d7e6f504"
DOCKER_V2 = "/system.slice/docker-5c1e09af8877665544332211aabbccddeeff00112233445566778899aabbccdd.scope"
WEB = "/system.slice/shop-web.service"

# (pid, name, stamp, constraint, cgroup, limit_cgroup, anon_rss_kib, total_vm_kib, uid, trigger)
EXPECTED = {
    "2.4.21-rhel3.log": [
        (2210, "mysqld", "Feb  3 04:12:09", "global", None, None, None, None, None, None),
        (2214, "mysqld", "Feb  3 04:12:11", "global", None, None, None, None, None, None),
    ],
    "2.6.18-rhel5.log": [(3127, "httpd", "Mar 14 02:11:41", "global", None, None, None, None, 48, "httpd")],
    "2.6.24-ubuntu-8.04.log": [(5133, "apache2", "Jun  2 11:20:01", "global", None, None, None, None, None, "apache2")],
    "2.6.32-rhel6-memcg.log": [(18822, "python", "May  9 17:40:22", "memcg", "/batch/job_17", "/batch", 518204, 912340, 502, "python")],
    "3.10-centos7-docker.log": [(9001, "celery", "171044.020260", "memcg", DOCKER_V1, DOCKER_V1, 247120, 336044, 1000, "celery")],
    "4.4-ubuntu-16.04-child.log": [
        (2304, "sh", "Sep 30 21:02:17", "global", None, None, 76, 4504, None, "node"),
        (2231, "node", "Sep 30 21:02:18", "global", None, None, 1803312, 2911204, None, None),
    ],
    "4.19-debian-10-glued.log": [(7120, "celery", "30112.004410", "global", "/system.slice/shop-jobs.service", None, 1611204, 1937640, 998, None)],
    "5.10-debian-11-oom-group.log": [
        (4402, "gunicorn", "5120.100320", "memcg", WEB, WEB, 220400, 290112, 33, "gunicorn"),
        (4400, "gunicorn", "5120.100371", "memcg", WEB, WEB, 20400, 60112, 33, "gunicorn"),
        (4403, "Web (Content)", "5120.100391", "memcg", WEB, WEB, 120400, 190112, 33, "gunicorn"),
    ],
    "5.15-ubuntu-22.04-rfc3339.log": [
        (88120, "uvicorn", "2026-01-12T08:30:01.120900+01:00", "memcg", DOCKER_V2, DOCKER_V2, 520112, 801120, 0, "uvicorn"),
    ],
    "6.1-debian-12-caller.log": [
        (1212, "python3", "91.120301", "global", "/user.slice/user-1000.slice/session-2.scope", None, 700112, 900112, 1000, "python3"),
    ],
    "6.6-fedora-39-journal.log": [
        (5150, "python3", "1768203001120011", "global", "/user.slice/user-1000.slice/user@1000.service/app.slice/app-x\\x2dy.scope", None,
         6520112, 8101120, 1000, None),
    ],
    "6.8-ubuntu-24.04-kmsg.log": [
        (771, "gunicorn: w", "4120044012901", "memcg", "/system.slice/system-shop\\x2dweb.slice/shop-web@1.service", "/system.slice/system-shop\\x2dweb.slice",
         410112, 510112, 33, "gunicorn: w"),
    ],
    "6.12-debian-13-mail.log": [
        (991, "rq", "1200.000400", "memcg", "/system.slice/jobs.service", "/system.slice/jobs.service", 210112, 310112, 33, "rq"),
    ],
    "2.6.32-openvz.log": [],
    "6.1-debian-12-cut.log": [],
    "earlyoom-1.6-debian-11.log": [],
}
USERSPACE = {
    "6.6-fedora-39-journal.log": [("systemd-oomd", "tab.scope")],
    "earlyoom-1.6-debian-11.log": [("earlyoom", "gunicorn (4410)")],
}
REFUSED = {"2.6.32-openvz.log": 1, "6.1-debian-12-cut.log": 2}


def text_of(name: str) -> str:
    return (RECORDINGS / name).read_text(encoding="utf-8")


def short(found: _kernel_oom.Found) -> list:
    return [(kill.pid, kill.name, kill.stamp) + kill[5:] for kill in found.kills]


def test_every_recording_is_expected_something_of():
    assert sorted(path.name for path in RECORDINGS.glob("*.log")) == sorted(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_recording(name):
    found = parse(text_of(name))
    assert short(found) == EXPECTED[name]
    assert [(kill.program, kill.what) for kill in found.userspace] == USERSPACE.get(name, [])
    assert len(found.refused) == REFUSED.get(name, 0)
    assert all(len(refused.reason) > 40 for refused in found.refused)


MESSAGES = (
    "python3 invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
    "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a,task_memcg=/a/b,task=my, (odd) name,pid=77,uid=5",
    "Memory cgroup out of memory: Killed process 77 (my, (odd) name) total-vm:9kB, anon-rss:8kB, file-rss:7kB, shmem-rss:0kB, UID:5 pgtables:1kB"
    " oom_score_adj:0",
    "oom_reaper: reaped process 77 (my, (odd) name), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB",
)

# what stands before a message, and the time in it as a person would copy it
PREFIXES = {
    "dmesg": ("[  518.050606] ", "518.050606"),
    "dmesg, first bracket lost": ("518.050606] ", "518.050606"),
    "dmesg -T": ("[Fri Nov 21 14:22:56 2025] ", "Fri Nov 21 14:22:56 2025"),
    "dmesg -T, day of one digit": ("[Mon Dec  1 04:02:06 2025] ", "Mon Dec  1 04:02:06 2025"),
    "dmesg -T, Russian": ("[Пт ноя 21 14:22:56 2025] ", "Пт ноя 21 14:22:56 2025"),
    "dmesg -T, Chinese": ("[五 11月 21 14:22:56 2025] ", "五 11月 21 14:22:56 2025"),
    "dmesg --time-format iso": ("2025-11-21T14:22:56,120011+01:00 ", "2025-11-21T14:22:56,120011+01:00"),
    "dmesg -x": ("kern  :err   : [  518.050606] ", "518.050606"),
    "dmesg -x -T": ("kern  :info  : [Fri Nov 21 14:22:56 2025] ", "Fri Nov 21 14:22:56 2025"),
    "dmesg -r": ("<3>[  518.050606] ", "518.050606"),
    "dmesg with caller": ("[  518.050606] [ T1308] ", "518.050606"),
    "dmesg with caller, no blank": ("[  518.050606][    C0] ", "518.050606"),
    "dmesg in colour": ("\x1b[32m[  518.050606] \x1b[0m\x1b[33m", "518.050606"),
    "old Android": ("<3>[  518.050606,1] ", "518.050606"),
    "no time": ("", None),
    "host only": ("host kernel: ", None),
    "syslog": ("May 15 23:09:30 app-1 kernel: ", "May 15 23:09:30"),
    "syslog, day of one digit": ("May  5 23:09:30 app-1 kernel: ", "May  5 23:09:30"),
    "syslog with uptime": ("May 15 23:09:30 app-1 kernel: [  518.050606] ", "May 15 23:09:30"),
    "syslog with uptime and caller": ("May 15 23:09:30 app-1 kernel: [  518.050606][ T1308] ", "May 15 23:09:30"),
    "syslog of old klogd": ("May 15 23:09:30 app-1 klogd: ", "May 15 23:09:30"),
    "syslog with fractions": ("Aug 30 06:58:55.050705 app-1 kernel: ", "Aug 30 06:58:55.050705"),
    "syslog with the year": ("2025 May 15 23:09:30 app-1 kernel: ", "2025 May 15 23:09:30"),
    "syslog in Russian": ("апр 28 01:23:30 PC kernel: ", "апр 28 01:23:30"),
    "syslog in French": ("févr. 12 01:23:30 pc kernel: ", "févr. 12 01:23:30"),
    "syslog in Chinese": ("5月 28 01:23:30 pc kernel: ", "5月 28 01:23:30"),
    "grep over files": ("/var/log/kern.log.1:May 15 23:09:30 app-1 kernel: [  518.050606] ", "May 15 23:09:30"),
    "grep -n": ("1284:May 15 23:09:30 app-1 kernel: ", "May 15 23:09:30"),
    "RFC 3339": ("2025-11-21T14:22:56.120011+00:00 app-1 kernel: ", "2025-11-21T14:22:56.120011+00:00"),
    "RFC 3339 with uptime": ("2025-11-21T14:22:56.120011Z app-1 kernel: [  518.050606] ", "2025-11-21T14:22:56.120011Z"),
    "RFC 5424": ("<3>1 2025-11-21T14:22:56.120011Z app-1 kernel - - - ", "2025-11-21T14:22:56.120011Z"),
    "journalctl -o short-iso": ("2025-11-21T14:22:56+0100 app-1 kernel: ", "2025-11-21T14:22:56+0100"),
    "journalctl -o short-full": ("Fri 2025-11-21 14:22:56 CET app-1 kernel: ", "Fri 2025-11-21 14:22:56 CET"),
    "journalctl -o short-monotonic": ("[  518.050606] app-1 kernel: ", "518.050606"),
    "journalctl -o short-unix": ("1763731376.120011 app-1 kernel: ", "1763731376.120011"),
    "journalctl, host left out": ("Nov 21 14:22:56 kernel: ", "Nov 21 14:22:56"),
    "/dev/kmsg": ("3,441,518050606,-;", "518050606"),
    "/dev/kmsg with caller": ("3,441,518050606,-,caller=T77;", "518050606"),
    "mail": ("> May 15 23:09:30 app-1 kernel: ", "May 15 23:09:30"),
    "mail, twice": (">> [  518.050606] ", "518.050606"),
    "OpenWrt": ("Thu Jan  1 10:00:00 2015 kern.err kernel: [  518.050606] ", "Thu Jan  1 10:00:00 2015"),
    "a switch": ("2025 Mar 14 10:11:12 sw1 %KERN-3-SYSTEM_MSG: [  518.050606] ", "2025 Mar 14 10:11:12"),
    "Android": ("04-12 10:12:33.123  W kernel  : [  518.050606] ", "04-12 10:12:33.123"),
    "dmesg -T, then uptime": ("[Fri Nov 21 14:22:56 2025] [  518.050606] ", "Fri Nov 21 14:22:56 2025"),
    "indented": ("    [  518.050606] ", "518.050606"),
}


@pytest.mark.parametrize("name", sorted(PREFIXES))
def test_prefix(name):
    prefix, stamp = PREFIXES[name]
    for end in ("\n", "\r\n"):
        found = parse("".join(prefix + message + end for message in MESSAGES))
        assert short(found) == [(77, "my, (odd) name", stamp, "memcg", "/a/b", "/a", 8, 9, 5, "python3")]
        assert not found.refused and not found.userspace


@pytest.mark.parametrize("name", sorted(PREFIXES))
def test_nothing_depends_on_the_line_that_announces(name):
    prefix, stamp = PREFIXES[name]
    assert short(parse(prefix + MESSAGES[2])) == [(77, "my, (odd) name", stamp, "memcg", None, None, 8, 9, 5, None)]
    assert short(parse(prefix + MESSAGES[1])) == [(77, "my, (odd) name", stamp, "memcg", "/a/b", "/a", None, None, 5, None)]


# forms whose messages can be told apart when a page has lost its line ends
GLUED = ("dmesg", "dmesg -T", "dmesg -T, Russian", "dmesg with caller", "journalctl -o short-monotonic", "syslog", "syslog with uptime",
         "syslog with uptime and caller", "RFC 3339", "RFC 3339 with uptime", "dmesg -T, then uptime")


@pytest.mark.parametrize("name", GLUED)
@pytest.mark.parametrize("glue", ["", " "])
def test_a_page_that_lost_its_line_ends(name, glue):
    prefix, stamp = PREFIXES[name]
    found = parse(glue.join(prefix + message for message in (MESSAGES[0], "CPU: 4 PID: 63635 Comm: python3", *MESSAGES[1:])))
    assert short(found) == [(77, "my, (odd) name", stamp, "memcg", "/a/b", "/a", 8, 9, 5, "python3")]


@pytest.mark.parametrize("width", [60, 66, 72, 76, 80, 100, 120, 132])
@pytest.mark.parametrize("quote", ["", "> "])
@pytest.mark.parametrize("name", ["dmesg", "dmesg -T", "syslog", "RFC 3339"])
def test_wrapped_by_mail(name, quote, width):
    prefix, stamp = PREFIXES[name]
    lines = [prefix + MESSAGES[0], prefix + MESSAGES[1], prefix + "Memory cgroup out of memory: Kill process 77 (my, (odd) name) score 9 or sacrifice child",
             prefix + MESSAGES[2].replace("Memory cgroup out of memory: ", "")]
    wrapped = [quote + piece for line in lines for piece in textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False)]
    assert short(parse("\n".join(wrapped))) == [(77, "my, (odd) name", stamp, "memcg", "/a/b", "/a", 8, 9, 5, "python3")]


def test_line_ends_written_as_two_characters():
    text = "\\n".join("[  518.050606] " + message for message in MESSAGES)
    assert short(parse(text)) == [(77, "my, (odd) name", "518.050606", "memcg", "/a/b", "/a", 8, 9, 5, "python3")]


def test_newest_first_as_journalctl_can_print():
    prefix = "May 15 23:09:30 app-1 kernel: [  518.050606] "
    found = parse("\n".join(prefix + message for message in reversed(MESSAGES)))
    assert [(kill.pid, kill.cgroup, kill.anon_rss_kib) for kill in found.kills] == [(77, "/a/b", 8)]


def test_two_victims_of_one_second_keep_their_own_cgroup():
    lines = [
        "[9.000001] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),oom_memcg=/x,task_memcg=/x,task=a,pid=1,uid=0",
        "[9.000002] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),oom_memcg=/y,task_memcg=/y,task=b,pid=2,uid=0",
        "[9.000003] Memory cgroup out of memory: Killed process 1 (a) total-vm:1kB, anon-rss:10kB, file-rss:0kB, shmem-rss:0kB",
        "[9.000004] Memory cgroup out of memory: Killed process 2 (b) total-vm:1kB, anon-rss:20kB, file-rss:0kB, shmem-rss:0kB",
    ]
    assert [(kill.pid, kill.cgroup, kill.anon_rss_kib) for kill in parse("\n".join(lines)).kills] == [(1, "/x", 10), (2, "/y", 20)]


def test_a_log_put_together_twice_counts_once():
    text = "May 15 23:09:30 a kernel: " + MESSAGES[2] + "\n"
    assert len(parse(text * 3).kills) == 1
    assert len(parse(text + text.replace("23:09:30", "23:59:30")).kills) == 2


def test_a_thread_of_the_announced_process_is_the_same_kill():
    lines = [
        "[7.000001] oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/x,task=java,pid=40,uid=0",
        "[7.000009] Out of memory: Killed process 44 (java) total-vm:1kB, anon-rss:10kB, file-rss:0kB, shmem-rss:0kB",
    ]
    assert [(kill.pid, kill.cgroup) for kill in parse("\n".join(lines)).kills] == [(44, "/x")]


def test_the_kernel_breaks_its_own_line():
    lines = [
        "[7.000001] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null)",
        "[7.000002] ,cpuset=/,mems_allowed=0",
        "[7.000003] ,oom_memcg=/x,task_memcg=/x/y,task=java,pid=40,uid=0",
        "[8.000001] Task in /old",
        "[8.000002]  killed as a result of limit of /older",
        "[8.000003] Memory cgroup out of memory: Kill process 50 (perl) score 900 or sacrifice child",
    ]
    assert [(kill.pid, kill.cgroup, kill.limit_cgroup) for kill in parse("\n".join(lines)).kills] == [(40, "/x/y", "/x"), (50, "/old", "/older")]


@pytest.mark.parametrize("text", [
    "python3 invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
    "[1.000001] oom_reaper: reaped process 7 (a), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB",
    "[1.000001] Killed process 7 (a) sharing same memory",
    "[1.000001] Out of memory and no killable processes...",
    "[1.000001] Memory cgroup out of memory: OOM victim 7 (a) is already exiting. Skip killing the task",
    "[1.000001] oom_kill_process: 70 callbacks suppressed",
    "[1.000001] a: page allocation failure: order:0, mode:0x20",
    "VM: killing process gammu",
    "May  1 10:00:00 h systemd[1]: shop.service: A process of this unit has been killed by the OOM killer.",
    "May  1 10:00:00 h systemd[1]: shop.service: Killing process 812 (gunicorn) with signal SIGKILL.",
    "May  1 10:00:00 h shop[99]: Out of memory: Killed process 7 (a) total-vm:1kB, anon-rss:1kB, file-rss:0kB",
    "ERROR:  53200: out of memory",
    "flux-shell[0]: ERROR: oom: Memory cgroup out of memory: killed 1 task on picl7.",
    "dmesg -T | egrep -i 'killed process|out of memory'",
    "successfully killed process 123",
    "",
])
def test_no_kill(text):
    assert parse(text) == ([], [], [])


def test_an_exiting_victim_is_no_kill_even_when_it_was_announced():
    lines = ["[5.000001] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),oom_memcg=/x,task_memcg=/x,task=a,pid=1,uid=0",
             "[5.000002] Memory cgroup out of memory: OOM victim 1 (a) is already exiting. Skip killing the task"]
    assert parse("\n".join(lines)) == ([], [], [])


@pytest.mark.parametrize("text, expected", [
    ("[1.0] systemd-oomd[9]: oomd attempting to kill 63 with KILL\n"
     "[1.1] systemd-oomd[9]: Killed /a/x.service due to memory pressure for /a being 9% > 1% for > 2s\n"
     "[1.2] systemd[1]: x.service: systemd-oomd killed 2 process(es) in this unit.", [("systemd-oomd", "x.service")]),
    ("x.service: systemd-oomd killed some process(es) in this unit.", [("systemd-oomd", "x.service")]),
    ("systemd-oomd[9]: Marked /a/x.service for killing due to memory pressure for /a being 85% > 80%\n"
     "systemd-oomd[9]: Killed /a/x.service due to memory pressure for /a being 85% > 80%", [("systemd-oomd", "x.service")]),
    ("systemd-oomd[9]: oomd attempting to kill 63 with KILL\nsystemd-oomd[9]: oomd attempting to kill 64 with KILL", [("systemd-oomd", "process 63, 64")]),
    ("systemd-oomd[9]: Considered 9 cgroups for killing, top candidates were:", []),
    ("sending SIGTERM when mem <= 10.00% and swap <= 10.00%,", []),
    ('sending SIGTERM to process 12 "python3": badness 209, VmRSS 2891 MiB\nescalating to SIGKILL after 2.4 seconds', [("earlyoom", "python3 (12)")]),
    ('sending SIGKILL to process 12 uid 5 "a b": oom_score 209, VmRSS 2891 MiB', [("earlyoom", "a b (12)")]),
    ('killing process 27541 "bash" with signal 15: badness 550, VmRSS 7609 MiB', [("earlyoom", "bash (27541)")]),
    ("Killing process 'bash' with signal 15, pid: 5874, badness: 538, VmRSS: 3160 MiB", [("earlyoom", "bash (5874)")]),
    ("Killing process: chromium, pid: 14, badness: 301, VmRSS: 1290 MiB", [("earlyoom", "chromium (14)")]),
    ("Invoking oom killer: done", []),
])
def test_kills_by_programs(text, expected):
    found = parse(text)
    assert [(kill.program, kill.what) for kill in found.userspace] == expected
    assert not found.kills


def test_hostile_text_costs_no_more_than_its_length():
    """Nothing here is timed: a pattern that backtracks without bound would not come back at all."""
    for piece in ("[", "(", "Killed process 1 (", "oom-kill:constraint=CONSTRAINT_NONE,task=", "Out of memory: ", "> ", "{\"MESSAGE\":", "Task in ", "1:",
                  "[1.000001] ", "oom-kill:constraint=CONSTRAINT_NONE\n,", "May 15 23:09:30 "):
        assert all(kill.pid in (1, None) for kill in parse(piece * 20000).kills)
    assert len(parse("Out of memory: Killed process 1 (" + "x" * 1000000 + ")").kills) <= 1


def test_what_a_name_says_is_no_line_of_the_kernel():
    """A process may call itself what it likes, within 15 bytes: no name makes a second kill."""
    name = "9 (x) total-vm:"
    found = parse("[1.000001] Out of memory: Killed process 5 (%s) total-vm:9kB, anon-rss:8kB, file-rss:7kB, shmem-rss:0kB, UID:5 pgtables:1kB" % name)
    assert [kill.pid for kill in found.kills] == [5]


def test_what_a_program_writes_to_kmsg_is_not_the_kernels():
    """The kernel gives it a facility of its own; a forged kill is none, and what systemd-oomd says there counts as its own."""
    assert parse("12,1,5,-;" + MESSAGES[2]) == ([], [], [])
    found = parse("30,1,5,-;systemd-oomd[9]: Killed /a/x.service due to memory pressure for /a being 9% > 1% for > 2s")
    assert [(kill.program, kill.what) for kill in found.userspace] == [("systemd-oomd", "x.service")]


def test_kmsg_escapes():
    assert _log_line.unescape("a\\x5cx2db \\xd0\\xb0 \\xff") == "a\\x2db \u0430 \\xff"
    assert _log_line.unescape("plain") == "plain"


def test_interesting_lines_are_enough():
    """What the collector throws away before parsing changes nothing."""
    for name in EXPECTED:
        text = text_of(name)
        if "mail" in name:
            continue
        kept = "\n".join(line for line in text.splitlines() if _kernel_oom.INTERESTING.search(line))
        assert short(parse(kept)) == short(parse(text)), name
