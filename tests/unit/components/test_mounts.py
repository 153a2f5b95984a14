# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Paths on file systems that may hang: mountinfo as Linux 6 writes it for sshfs 3.7 and bind mounts of it."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._components import _crontabs, _oom_sources, _settings
from ansible_collections.oncall.pressure.plugins.module_utils._components._mounts import MayHang, Mounts
from ansible_collections.oncall.pressure.plugins.module_utils._components._nginx_files import Master, View
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

MOUNTS = """717 595 0:67 / / rw,relatime master:1 - overlay overlay rw,lowerdir=/a,upperdir=/b
720 717 0:89 / /mnt/far rw,nosuid,nodev,relatime - fuse.sshfs root@127.0.0.1:/srv/far rw,user_id=0,group_id=0,allow_other
721 717 0:89 / /var/spool/cron/crontabs rw,nosuid,nodev,relatime - fuse.sshfs root@127.0.0.1:/srv/far rw,user_id=0,group_id=0,allow_other
722 720 0:90 / /mnt/far/near rw,relatime - tmpfs tmpfs rw
723 717 0:91 / /mnt/two rw,relatime - tmpfs tmpfs rw
724 723 0:89 / /mnt/two rw,relatime - nfs4 server:/two rw
725 717 8:1 / /data rw,relatime - fuseblk /dev/sda1 rw
"""


@pytest.fixture(name="host")
def _host(tmp_path: Path) -> Path:
    (tmp_path / "commands.json").write_text(json.dumps({"now": 1790000000}), encoding="utf-8")
    for process in ("self", "77"):
        (tmp_path / "proc" / process).mkdir(parents=True)
        (tmp_path / "proc" / process / "mountinfo").write_text(MOUNTS, encoding="utf-8")
    return tmp_path


def write(host: Path, path: str, text: str = "x") -> None:
    place = host / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("path,kind", [
    ("/mnt/far", "fuse.sshfs"), ("/mnt/far/a/b", "fuse.sshfs"), ("/mnt/farther", ""), ("/mnt/far/near/a", ""), ("/mnt/two/a", "nfs4"), ("/data/a", ""),
    ("/etc/passwd", ""), ("/", ""),
])
def test_the_file_system_of_a_path(host: Path, path: str, kind: str) -> None:
    assert Mounts(Machine(str(host))).kind(path) == kind


@pytest.mark.parametrize("text", ["", "rubbish\n\xff - - -\n", "1 2 3:4 / / rw - fuse.sshfs a rw\n"])
def test_where_no_mount_is_known_or_the_root_is_one_everything_is_read(host: Path, text: str) -> None:
    write(host, "/proc/self/mountinfo", text)
    mounts = Mounts(Machine(str(host)))
    mounts.check("/mnt/far/a")
    assert mounts.kind("/mnt/far/a") == ""


def test_links_are_followed_as_far_as_they_may_be(host: Path) -> None:
    write(host, "/etc/plain")
    (host / "etc/link").symlink_to("../mnt/far/file")
    (host / "etc/absolute").symlink_to("/mnt/far")
    (host / "etc/round").symlink_to("round")
    mounts = Mounts(Machine(str(host)))
    for path in ("/etc/plain", "/etc/nothing/there", "/etc/round"):
        mounts.check(path)
    for path in ("/etc/link", "/etc/absolute/deeper", "/etc/../mnt/far"):
        with pytest.raises(MayHang, match="fuse.sshfs"):
            mounts.check(path)


def test_crontabs(host: Path) -> None:
    write(host, "/etc/crontab", "* * * * * root job\n")
    write(host, "/var/spool/cron/crontabs/me", "* * * * * never read\n")
    tabs, problems = _crontabs.crontabs(Machine(str(host)))
    assert [tab.path for tab in tabs] == ["/etc/crontab"]
    assert "/var/spool/cron/crontabs: it lies on fuse.sshfs, a file system that may hang: not read" in problems


def test_settings_of_a_service(host: Path) -> None:
    write(host, "/mnt/far/gunicorn.conf.py", "workers = 3\n")
    write(host, "/srv/gunicorn.conf.py", "workers = 3\n")
    machine = Machine(str(host))
    assert _settings.read_regular(machine, "/mnt/far/gunicorn.conf.py") == (None, "it lies on fuse.sshfs, a file system that may hang: not read")
    assert _settings.read_regular(machine, "/srv/gunicorn.conf.py") == ("workers = 3\n", None)


def test_the_log_of_the_kernel(host: Path) -> None:
    write(host, "/mnt/far/kern.log", "Nov 28 00:00:00 h kernel: x\n")
    (host / "var/log").mkdir(parents=True)
    (host / "var/log/kern.log").symlink_to("/mnt/far/kern.log")
    with pytest.raises(_oom_sources.Unreadable, match="may hang"):
        _oom_sources.log_file(Machine(str(host)))


@pytest.mark.parametrize("root", ["", "/proc/77/root"])
def test_files_of_nginx(host: Path, root: str) -> None:
    write(host, root + "/mnt/far/access.log")
    write(host, root + "/var/log/access.log")
    view = View(Machine(str(host)), Master(77, 1, None, None, root))
    with pytest.raises(MayHang) as raised:
        view.log("/mnt/far/access.log")
    assert "fuse.sshfs" in str(raised.value.strerror) and view.log("/var/log/access.log").size == 1
    # what is named is kept, so that its reading says why it is not read; a pattern is not looked for there
    assert view.glob("/mnt/far/access.log") == ["/mnt/far/access.log"] and view.glob("/mnt/far/*.log") == []
    assert not view.folder("/mnt/far") and view.rotated("/mnt/far/access.log") == ([], [])


def test_nothing_below_such_a_mount_is_touched(host: Path) -> None:
    """Not even to see whether there is a link."""
    touched: t.List[str] = []

    class Watched(Machine):
        def link(self, path: str) -> str:
            touched.append(path)
            return super().link(path)

    machine = Watched(str(host))
    with pytest.raises(MayHang):
        Mounts(machine).check("/mnt/far/a/b")
    assert touched == ["/mnt"]
