# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The formats of /proc, on lines as kernels write them."""

from __future__ import annotations

import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._parse import _proc

STAT = b"4711 (%s) S 1 4711 4711 0 -1 %d 1 2 3 4 250 50 11 7 20 0 3 0 99000 1000000 2048 18446744073709551615 1 1 0 0 0 0 0 4096 17663 0 0 0 17 1 0 0 0 0 0\n"


@pytest.mark.parametrize("name", [b"python3", b"a) R 1 (b", b"((sd-pam))", b"\xff\x1b[0m", b""])
def test_stat_with_any_name(name: bytes) -> None:
    stat = _proc.stat(STAT % (name, 0x400100))
    assert (stat.pid, stat.name, stat.state, stat.ppid, stat.session) == (4711, name, "S", 1, 4711)
    assert (stat.user_ticks, stat.system_ticks, stat.threads, stat.start_ticks, stat.rss_pages, stat.kernel_thread) == (250, 50, 3, 99000, 2048, False)
    assert _proc.ticks(STAT % (name, 0x400100)) == (300, 18, 99000)


def test_kernel_thread_and_broken_line() -> None:
    assert _proc.stat(STAT % (b"kworker/0:1", 0x208040)).kernel_thread
    for broken in (b"", b"4711 (x", STAT[:60]):
        with pytest.raises(ValueError):
            _proc.stat(broken)


def test_arguments_and_titles() -> None:
    assert _proc.arguments(b"gunicorn\0-w\0" + b"4\0") == [b"gunicorn", b"-w", b"4"]
    assert _proc.arguments(b"nginx: master process /usr/sbin/nginx\0\0\0\0") == [b"nginx: master process /usr/sbin/nginx"]
    assert _proc.arguments(b"") == []


def test_cpu_counts_guest_time_once_and_old_kernels_have_fewer_columns() -> None:
    cpu = _proc.cpu("cpu  100 10 50 1000 40 5 5 20 90 9\ncpu0 1 2 3 4\n")
    assert cpu == _proc.Cpu(user=110, system=60, idle=1000, iowait=40, steal=20)
    assert _proc.cpu("cpu 1 2 3 4\n").total == 10
    with pytest.raises(ValueError):
        _proc.cpu("intr 1 2\n")


def test_pressure_of_several_kernels() -> None:
    whole = _proc.pressure("some avg10=27.50 avg60=9.10 avg300=2.00 total=123\nfull avg10=1.00 avg60=0.50 avg300=0.00 total=5\n")
    assert whole == {"some_avg10": 27.5, "some_avg60": 9.1, "full_avg10": 1.0, "full_avg60": 0.5}
    # before 5.13 the machine's cpu file has no full line
    assert _proc.pressure("some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n")["full_avg10"] is None


def test_disks_of_several_kernels() -> None:
    line = "   8       0 sda 100 1 2000 30 200 2 4000 60 1 80 90"
    for tail in ("", " 0 0 0 0", " 0 0 0 0 7 8"):
        assert _proc.disks(line + tail + "\n")["sda"] == _proc.Disk(100, 2000, 30, 200, 4000, 60, 1, 80, 90)


def test_sockets() -> None:
    states: dict[str, int] = {}
    listeners: list[tuple[str, int, int]] = []
    _proc.tcp(
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        "   0: 0100007F:1F40 00000000:0000 0A 00000080:00000011 00:00000000 00000000     0        0 1 1 0\n"
        "   1: 0100007F:1F40 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0\n"
        "   2: 0100007F:1F40 0100007F:C351 08 00000000:00000000 00:00000000 00000000     0        0 3 1 0\n", states, listeners)
    assert states == {"LISTEN": 1, "ESTABLISHED": 1, "CLOSE_WAIT": 1}
    assert listeners == [("0100007F", 8000, 0x11)]
    assert _proc.address("0100007F") == "127.0.0.1"
    assert _proc.address("00000000000000000000000001000000") == "0:0:0:0:0:0:0:1"
    assert _proc.address("0000000000000000FFFF00000100007F") == "::ffff:127.0.0.1"


def test_sockets_in_sum() -> None:
    text = "sockets: used 297\nTCP: inuse 11 orphan 2 tw 5 alloc 14 mem 3\nUDP: inuse 1 mem 0\nFRAG: inuse 0 memory 0\n"
    assert _proc.sockstat(text)["TCP"] == {"inuse": 11, "orphan": 2, "tw": 5, "alloc": 14, "mem": 3}
    assert _proc.sockstat("TCP: inuse\nTCP6: inuse x orphan 1\n\n") == {"TCP": {}, "TCP6": {"orphan": 1}, "": {}}


def test_limit_of_open_files() -> None:
    text = "Limit                     Soft Limit           Hard Limit\nMax open files            1024                 524288               files     \n"
    assert _proc.open_files_limit(text) == 1024
    assert _proc.open_files_limit("Max open files            unlimited            unlimited            files\n") is None
    assert _proc.open_files_limit("Max open files") is None and _proc.open_files_limit("") is None


def test_what_an_open_file_is() -> None:
    links = ["/srv/shop/orders.csv", "/memfd:x (deleted)", "socket:[17]", "pipe:[3]", "anon_inode:[eventpoll]", "/dev/null", "/proc/7/stat"]
    assert [_proc.kind_of_file(link) for link in links] == ["file", "file", "socket", "pipe", "other", "other", "other"]


def test_paired_tables() -> None:
    found = _proc.paired_tables("TcpExt: SyncookiesSent ListenOverflows\nTcpExt: 0 7\nIpExt: A\nIpExt: 3\n")
    assert found == {"TcpExt": {"SyncookiesSent": 0, "ListenOverflows": 7}, "IpExt": {"A": 3}}


def test_mounts() -> None:
    found = _proc.mounts("30 23 0:26 /docker/ab\\040c /sys/fs/cgroup/memory rw,nosuid shared:9 - cgroup cgroup rw,memory\nnonsense\n")
    assert found == [_proc.Mount("/docker/ab c", "/sys/fs/cgroup/memory", "cgroup", ("rw", "memory"))]
