# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host is and which cgroup paths are its own, on recordings of several layouts."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._components._own_root import own_root
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

ID = "5f" * 32
OTHER = "a7" * 32


def recording(folder: pathlib.Path, files: t.Mapping[str, str], namespace: str = "pid:[4026532211]") -> Machine:
    (folder / "commands.json").write_text(json.dumps({}))
    for name, text in files.items():
        path = folder / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    link = folder / "proc/self/ns/pid"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(namespace)
    return Machine(str(folder))


CASES = {
    "machine, version 2": ({"/proc/1/cgroup": "0::/init.scope\n"}, "pid:[4026531836]", "machine", ""),
    "machine made from a container's image": ({"/proc/1/cgroup": "0::/\n", "/.dockerenv": ""}, "pid:[4026531836]", "machine", ""),
    "docker, version 1, the machine's cgroup namespace": (
        {"/proc/1/cgroup": "4:memory:/docker/%s\n1:name=systemd:/docker/%s/init.scope\n" % (ID, ID)}, "pid:[4026532211]", "container", "/docker/" + ID),
    "docker, version 2, a namespace of its own": (
        {"/proc/1/cgroup": "0::/\n", "/.dockerenv": "",
         "/proc/self/mountinfo": "700 690 254:1 /var/lib/docker/containers/%s/hostname /etc/hostname rw - ext4 /dev/vda rw\n" % ID},
        "pid:[4026532211]", "container", ""),
    "lxc": ({"/proc/1/cgroup": "0::/lxc.payload.web/init.scope\n", "/run/systemd/container": "lxc"}, "pid:[4026532211]", "container", "/lxc.payload.web"),
    "a slice of a machine": ({"/proc/1/cgroup": "0::/tenant.slice/init.scope\n"}, "pid:[4026531836]", "slice", "/tenant.slice"),
}


@pytest.mark.parametrize("files,namespace,kind,prefix", CASES.values(), ids=CASES.keys())
def test_kind_and_prefix(tmp_path: pathlib.Path, files: t.Mapping[str, str], namespace: str, kind: str, prefix: str) -> None:
    root = own_root(recording(tmp_path, files, namespace))
    assert (root.kind, root.prefix) == (kind, prefix)


def test_a_neighbours_cgroup_is_not_ours(tmp_path: pathlib.Path) -> None:
    files, namespace, dummy, dummy2 = CASES["docker, version 1, the machine's cgroup namespace"]
    root = own_root(recording(tmp_path, files, namespace))
    assert root.own_part("/docker/%s/system.slice/a.service" % ID) == "/system.slice/a.service"
    assert root.own_part("/docker/%s/system.slice/a.service" % OTHER) is None
    assert root.own_part("/docker/%sx" % ID) is None
    assert root.own_part("/system.slice/a.service") is None


def test_the_container_id_tells_ours_where_the_namespace_hides_the_path(tmp_path: pathlib.Path) -> None:
    files, namespace, dummy, dummy2 = CASES["docker, version 2, a namespace of its own"]
    root = own_root(recording(tmp_path, files, namespace))
    assert root.own_part("/system.slice/docker-%s.scope/system.slice/a.service" % ID) == "/system.slice/a.service"
    assert root.own_part("/system.slice/docker-%s.scope" % OTHER) is None
