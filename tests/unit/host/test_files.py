# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files are written as root only where nobody else could have put something in the way."""

from __future__ import annotations

import errno
import os
import pathlib
import signal
import struct
import subprocess
import sys
from typing import Any, Callable, Dict, List

import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._host import _attributes
from ansible_collections.oncall.pressure.plugins.module_utils._host._files import SIZE_LIMIT, Files, Untrusted, started

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to other users, which only root may")
NOBODY = 65534


@pytest.fixture(name="root")
def _root(tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / "root"
    (folder / "etc").mkdir(parents=True)
    (folder / "etc" / "conf").write_bytes(b"old\n")
    os.chmod(folder, 0o755)
    os.chmod(folder / "etc", 0o755)
    os.chmod(folder / "etc" / "conf", 0o644)
    return folder


def access_list(user: int, rights: int) -> bytes:
    """A POSIX access list that lets one user more, as the kernel keeps it."""
    rows = ((1, 6, 0xFFFFFFFF), (2, rights, user), (4, 4, 0xFFFFFFFF), (16, rights, 0xFFFFFFFF), (32, 4, 0xFFFFFFFF))
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *row) for row in rows)


def give_access_list(path: pathlib.Path, name: str, user: int, rights: int) -> None:
    try:
        os.setxattr(path, name, access_list(user, rights))
    except OSError as problem:
        pytest.skip("this file system has no access lists: %s" % problem)


def everything(folder: pathlib.Path) -> Dict[str, Any]:
    """All that is below a folder: kind, mode, owner, content or target."""
    found: Dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        row = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(folder))] = (row.st_mode, row.st_uid, row.st_gid, row.st_nlink, content)
    return found


def test_a_write_keeps_what_it_is_told_and_leaves_nothing_beside(root: pathlib.Path) -> None:
    files = Files(str(root))
    files.write("/etc/conf", b"new\n", {"mode": "0640"})
    assert (root / "etc" / "conf").read_bytes() == b"new\n"
    assert os.listdir(root / "etc") == ["conf"]
    state = files.look("/etc/conf")
    assert (state["exists"], state["bytes"], state["mode"], state["path"]) == (True, 4, "0640", "/etc/conf")


def test_what_is_not_there_is_said_so(root: pathlib.Path) -> None:
    files = Files(str(root))
    assert files.look("/etc/none") == {"exists": False, "path": "/etc/none"}
    assert files.look("/no/such/folder") == {"exists": False, "path": "/no/such/folder"}
    files.remove("/etc/none")
    files.remove("/no/such/folder")
    files.sweep("/no/such/folder")
    assert files.remove_folder("/no/such") is False
    assert files.remove_folder("/etc/conf/in") is False


def hard_link(root: pathlib.Path) -> None:
    os.link(root / "etc" / "conf", root / "other")


def pipe(root: pathlib.Path) -> None:
    os.unlink(root / "etc" / "conf")
    os.mkfifo(root / "etc" / "conf", 0o644)


def folder(root: pathlib.Path) -> None:
    os.unlink(root / "etc" / "conf")
    os.mkdir(root / "etc" / "conf")


def writable_by_all(root: pathlib.Path) -> None:
    os.chmod(root / "etc" / "conf", 0o666)


def folder_writable_by_all(root: pathlib.Path) -> None:
    os.chmod(root / "etc", 0o777)


def sticky_folder(root: pathlib.Path) -> None:
    os.chmod(root / "etc", 0o1777)


def root_writable_by_all(root: pathlib.Path) -> None:
    os.chmod(root, 0o777)


def of_nobody(root: pathlib.Path) -> None:
    os.chown(root / "etc" / "conf", NOBODY, 0)


def folder_of_nobody(root: pathlib.Path) -> None:
    os.chown(root / "etc", NOBODY, 0)


def group_of_nobody(root: pathlib.Path) -> None:
    os.chown(root / "etc" / "conf", 0, NOBODY)
    os.chmod(root / "etc" / "conf", 0o664)


def link_into_anybodys_folder(root: pathlib.Path) -> None:
    (root / "tmp").mkdir()
    os.chmod(root / "tmp", 0o1777)
    (root / "tmp" / "evil").write_bytes(b"old\n")
    os.unlink(root / "etc" / "conf")
    os.symlink("/tmp/evil", root / "etc" / "conf")


def link_out_by_dots(root: pathlib.Path) -> None:
    (root / "tmp").mkdir()
    os.chmod(root / "tmp", 0o777)
    os.unlink(root / "etc" / "conf")
    os.symlink("../tmp/new", root / "etc" / "conf")


def link_to_itself(root: pathlib.Path) -> None:
    os.unlink(root / "etc" / "conf")
    os.symlink("conf", root / "etc" / "conf")


def socket_file(root: pathlib.Path) -> None:
    os.unlink(root / "etc" / "conf")
    os.mknod(root / "etc" / "conf", 0o140644)


def too_large(root: pathlib.Path) -> None:
    os.truncate(root / "etc" / "conf", SIZE_LIMIT + 1)


PLANTED: List[Callable[[pathlib.Path], None]] = [
    hard_link, pipe, folder, writable_by_all, folder_writable_by_all, sticky_folder, root_writable_by_all, of_nobody, folder_of_nobody, group_of_nobody,
    link_into_anybodys_folder, link_out_by_dots, link_to_itself, socket_file, too_large,
]


@AS_ROOT
@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_what_others_may_have_planted_is_refused_and_not_touched(root: pathlib.Path, plant: Callable[[pathlib.Path], None]) -> None:
    plant(root)
    before = everything(root)
    with pytest.raises((Untrusted, OSError)):
        Files(str(root)).look("/etc/conf")
    assert everything(root) == before


@AS_ROOT
@pytest.mark.parametrize("plant", [
    pipe, folder, folder_writable_by_all, sticky_folder, root_writable_by_all, folder_of_nobody, link_into_anybodys_folder, link_out_by_dots, link_to_itself,
    socket_file,
], ids=lambda plant: plant.__name__)
def test_a_write_by_itself_refuses_them_too(root: pathlib.Path, plant: Callable[[pathlib.Path], None]) -> None:
    plant(root)
    before = everything(root)
    with pytest.raises((Untrusted, OSError)):
        Files(str(root)).write("/etc/conf", b"new\n", {"mode": "0644"})
    assert everything(root) == before


@pytest.mark.parametrize("path", ["etc/conf", "", "/etc/co\0nf", "/etc", "/"])
def test_a_path_that_is_none_is_refused(root: pathlib.Path, path: str) -> None:
    with pytest.raises((Untrusted, OSError)):
        Files(str(root)).look(path)


def test_a_link_stays_one_and_its_target_is_written(root: pathlib.Path) -> None:
    (root / "available").mkdir(mode=0o755)
    (root / "available" / "site").write_bytes(b"old\n")
    os.symlink("../available/site", root / "etc" / "site")
    os.symlink("/etc", root / "also")
    files = Files(str(root))
    assert files.look("/also/site")["path"] == "/available/site"
    files.write("/also/site", b"new\n", {"mode": "0644"})
    assert os.readlink(root / "etc" / "site") == "../available/site"
    assert (root / "available" / "site").read_bytes() == b"new\n"
    files.unlink("/etc/site")
    assert (root / "available" / "site").exists() and not os.path.lexists(root / "etc" / "site")


def test_links_never_lead_out_of_the_root(root: pathlib.Path) -> None:
    os.symlink("../../../../../../etc/hostname", root / "etc" / "up")
    assert Files(str(root)).look("/etc/up")["path"] == "/etc/hostname"
    assert not Files(str(root)).look("/etc/up")["exists"]


def test_a_copy_by_hard_links_keeps_its_content_when_ours_is_replaced(root: pathlib.Path) -> None:
    files = Files(str(root))
    hard_link(root)
    assert files.look("/etc/conf", links=True)["bytes"] == 4
    files.write("/etc/conf", b"new\n", {"mode": "0644"})
    assert (root / "other").read_bytes() == b"old\n"
    assert (root / "etc" / "conf").stat().st_nlink == 1


@AS_ROOT
def test_an_access_list_that_lets_others_write_is_refused(root: pathlib.Path) -> None:
    give_access_list(root / "etc" / "conf", "system.posix_acl_access", NOBODY, 6)
    with pytest.raises(Untrusted, match="access list"):
        Files(str(root)).look("/etc/conf")


@AS_ROOT
def test_an_access_list_of_a_folder_that_lets_others_write_is_refused(root: pathlib.Path) -> None:
    give_access_list(root / "etc", "system.posix_acl_access", NOBODY, 7)
    with pytest.raises(Untrusted):
        Files(str(root)).look("/etc/conf")


@AS_ROOT
def test_attributes_are_kept_and_none_is_added_by_the_folder(root: pathlib.Path) -> None:
    conf = root / "etc" / "conf"
    give_access_list(conf, "system.posix_acl_access", NOBODY, 4)
    try:
        os.setxattr(conf, "user.note", b"kept")
    except OSError as problem:
        if problem.errno != errno.ENOTSUP:
            raise
    files = Files(str(root))
    before = files.look("/etc/conf")
    assert "system.posix_acl_access" in before["xattrs"]
    files.write("/etc/conf", b"new\n", before)
    assert {key: value for key, value in files.look("/etc/conf").items() if key not in ("bytes", "sha256")} == {
        key: value for key, value in before.items() if key not in ("bytes", "sha256")}
    # a folder that gives every new file a list: one without is put back without
    plain = dict(before, xattrs={})
    give_access_list(root / "etc", "system.posix_acl_default", NOBODY, 4)
    files.write("/etc/conf", b"old\n", plain)
    assert "system.posix_acl_access" not in files.look("/etc/conf")["xattrs"]


def test_an_immutable_file_is_seen_before_it_is_tried(root: pathlib.Path) -> None:
    conf = root / "etc" / "conf"
    if subprocess.run(["chattr", "+i", str(conf)], check=False, capture_output=True).returncode != 0:
        pytest.skip("this file system, or this container, has no immutable files")
    try:
        assert _attributes.is_fixed(str(conf))
        with pytest.raises(Untrusted, match="immutable"):
            Files(str(root)).writable("/etc/conf")
    finally:
        subprocess.run(["chattr", "-i", str(conf)], check=True)
    Files(str(root)).writable("/etc/conf")


def test_what_an_interrupted_write_left_is_replaced_and_swept(root: pathlib.Path) -> None:
    files = Files(str(root))
    left = root / "etc" / ".conf.oncall-pressure"
    left.write_bytes(b"half")
    files.sweep("/etc/conf")
    assert not left.exists()
    os.symlink("/etc/conf", left)
    files.write("/etc/conf", b"new\n", {"mode": "0644"})
    assert os.listdir(root / "etc") == ["conf"]


def test_names_that_are_long_or_no_text_are_written(root: pathlib.Path) -> None:
    files = Files(str(root))
    for name in ("\u00e4" * 120, "n" * 240, os.fsdecode(b"caf\xe9\xff"), "with space\nand line"):
        files.write("/etc/" + name, b"x", {"mode": "0600"})
        assert files.look("/etc/" + name)["bytes"] == 1
        files.remove("/etc/" + name)
    assert os.listdir(root / "etc") == ["conf"]


def test_a_write_that_fails_leaves_the_old_file_alone(root: pathlib.Path) -> None:
    before = everything(root)
    with pytest.raises((ValueError, OSError)):
        Files(str(root)).write("/etc/conf", b"new\n", {"mode": "0644", "xattrs": {"user.bad": "zz"}})
    assert everything(root) == before


def test_folders_are_made_and_only_empty_ones_removed(root: pathlib.Path) -> None:
    files = Files(str(root))
    assert files.make_folders("/etc/a/b", 0o700) == ["/etc/a", "/etc/a/b"]
    assert files.make_folders("/etc/a/b") == []
    assert (root / "etc" / "a").stat().st_mode & 0o7777 == 0o700
    assert files.remove_folder("/etc/a") is False
    assert files.remove_folder("/etc/a/b") is True
    assert files.remove_folder("/etc/a") is True


def test_a_torn_line_does_not_swallow_the_next(root: pathlib.Path) -> None:
    files = Files(str(root))
    files.append("/etc/log", b"one\n")
    files.append("/etc/log", b"torn")
    files.append("/etc/log", b"three\n")
    assert (root / "etc" / "log").read_bytes() == b"one\ntorn\nthree\n"
    assert (root / "etc" / "log").stat().st_mode & 0o7777 == 0o600


def test_a_lock_is_held_by_one_and_ends_with_its_process(root: pathlib.Path) -> None:
    files = Files(str(root))
    held = files.lock("/etc/lock")
    assert held is not None
    assert files.lock("/etc/lock") is None
    Files.say(held, b'{"long": "' + b"x" * 300 + b'"}')
    Files.say(held, b'{"short": 1}')
    assert Files.locked_text(held).strip() == b'{"short": 1}'
    Files.unlock(held)
    again = files.lock("/etc/lock")
    assert again is not None
    Files.unlock(again)


def test_a_signal_goes_to_the_very_process_only() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; print(1, flush=True); time.sleep(600)"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()
        ticks = started(process.pid)
        assert ticks is not None
        assert Files().signal(process.pid, ticks + 1, signal.SIGKILL) is False
        assert process.poll() is None
        assert Files().signal(process.pid, ticks, signal.SIGTERM) is True
        assert process.wait() == -signal.SIGTERM
    assert Files().kill(process.pid, ticks) is False
    assert started(process.pid) is None


def test_a_process_that_only_waits_to_be_collected_is_gone() -> None:
    with subprocess.Popen([sys.executable, "-c", "print(1)"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.read()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert started(process.pid) is None


@AS_ROOT
def test_a_program_that_others_can_change_is_not_trusted(root: pathlib.Path) -> None:
    files = Files(str(root))
    assert files.trusted("/etc/conf")
    os.symlink("conf", root / "etc" / "python3")
    assert files.trusted("/etc/python3")
    of_nobody(root)
    assert not files.trusted("/etc/python3")
    assert not files.trusted("/etc")
    assert not files.trusted("/etc/none")
