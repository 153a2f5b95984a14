# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whose a cgroup path is, in the layouts of systemd, Docker, podman, Kubernetes, on versions 1 and 2."""

from __future__ import annotations

import random

import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._parse import _cgroup

ID = "".join(random.Random(7).choice("0123456789abcdef") for dummy in range(64))
POD = "03b7fe6c_4c5e_40e5_a17d_e82f148d42f1"

PATHS = [
    ("/system.slice/shop.service", "", "systemd", "shop.service", "/system.slice/shop.service"),
    ("/system.slice/system-shop.slice/shop@2.service/worker", "", "systemd", "shop@2.service", "/system.slice/system-shop.slice/shop@2.service"),
    ("/docker/%s/system.slice/shop.service" % ID, "/docker/%s" % ID, "systemd", "shop.service", "/docker/%s/system.slice/shop.service" % ID),
    ("/docker/%s/system.slice/shop.service" % ID, "", "docker", ID[:12], "/docker/%s" % ID),
    ("/docker/%s/init.scope" % ID, "/docker/%s" % ID, "none", "", "/init.scope"),
    ("/system.slice/docker-%s.scope" % ID, "", "docker", ID[:12], "/system.slice/docker-%s.scope" % ID),
    ("/machine.slice/libpod-%s.scope/container" % ID, "", "podman", ID[:12], "/machine.slice/libpod-%s.scope" % ID),
    ("/user.slice/user-1000.slice/user@1000.service/app.slice/shop.service", "", "user", "shop.service",
     "/user.slice/user-1000.slice/user@1000.service/app.slice/shop.service"),
    ("/user.slice/user-1000.slice/session-2.scope", "", "session", "session-2.scope", "/user.slice/user-1000.slice/session-2.scope"),
    ("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod%s.slice/cri-containerd-%s.scope" % (POD, ID), "", "kubernetes", POD.replace("_", "-"),
     "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod%s.slice/cri-containerd-%s.scope" % (POD, ID)),
    ("/kubepods/burstable/pod%s/%s" % (POD.replace("_", "-"), ID), "", "kubernetes", POD.replace("_", "-"),
     "/kubepods/burstable/pod%s/%s" % (POD.replace("_", "-"), ID)),
    # CRI-O with systemd (runc and crun), and with plain control groups; what watches its containers is beside them
    ("/kubepods.slice/kubepods-pod%s.slice/crio-%s.scope" % (POD, ID), "", "kubernetes", POD.replace("_", "-"),
     "/kubepods.slice/kubepods-pod%s.slice/crio-%s.scope" % (POD, ID)),
    ("/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod%s.slice/crio-%s.scope/container" % (POD, ID), "", "kubernetes",
     POD.replace("_", "-"), "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod%s.slice/crio-%s.scope" % (POD, ID)),
    ("/kubepods/burstable/pod%s/crio-%s" % (POD.replace("_", "-"), ID), "", "kubernetes", POD.replace("_", "-"),
     "/kubepods/burstable/pod%s/crio-%s" % (POD.replace("_", "-"), ID)),
    ("/system.slice/crio-conmon-%s.scope" % ID, "", "systemd", "crio-conmon-%s.scope" % ID, "/system.slice/crio-conmon-%s.scope" % ID),
    ("/kubepods/burstable/pod%s/crio-conmon-%s" % (POD.replace("_", "-"), ID), "", "none", "",
     "/kubepods/burstable/pod%s/crio-conmon-%s" % (POD.replace("_", "-"), ID)),
    # cri-dockerd, and containerd whose driver is not the kubelet's
    ("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod%s.slice/docker-%s.scope" % (POD, ID), "", "kubernetes", POD.replace("_", "-"),
     "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod%s.slice/docker-%s.scope" % (POD, ID)),
    ("/system.slice/containerd.service/kubepods-burstable-pod%s.slice:cri-containerd:%s" % (POD, ID), "", "kubernetes", POD.replace("_", "-"),
     "/system.slice/containerd.service/kubepods-burstable-pod%s.slice:cri-containerd:%s" % (POD, ID)),
    # a static pod, of which the uid is a digest
    ("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod%s.slice/cri-containerd-%s.scope" % (ID[:32], ID), "", "kubernetes", ID[:32],
     "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod%s.slice/cri-containerd-%s.scope" % (ID[:32], ID)),
    # a node that is itself a container (kind), from within and from outside
    ("/docker/%s/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod%s.slice/cri-containerd-%s.scope" % (ID, POD, ID[::-1]), "/docker/%s" % ID,
     "kubernetes", POD.replace("_", "-"),
     "/docker/%s/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod%s.slice/cri-containerd-%s.scope" % (ID, POD, ID[::-1])),
    ("/docker/%s/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod%s.slice/cri-containerd-%s.scope" % (ID, POD, ID[::-1]), "",
     "docker", ID[:12], "/docker/%s" % ID),
    # podman as root with plain control groups (4.3.1), a container of a pod of its own in both ways, of an ordinary user, and what watches it
    ("/libpod_parent/libpod-%s" % ID, "", "podman", ID[:12], "/libpod_parent/libpod-%s" % ID),
    ("/libpod_parent/%s/libpod-%s" % (ID[::-1], ID), "", "podman", ID[:12], "/libpod_parent/%s/libpod-%s" % (ID[::-1], ID)),
    ("/machine.slice/machine-libpod_pod_%s.slice/libpod-%s.scope/container" % (ID[::-1], ID), "", "podman", ID[:12],
     "/machine.slice/machine-libpod_pod_%s.slice/libpod-%s.scope" % (ID[::-1], ID)),
    ("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-%s.scope" % ID, "", "podman", ID[:12],
     "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-%s.scope" % ID),
    ("/machine.slice/libpod-conmon-%s.scope" % ID, "", "systemd", "libpod-conmon-%s.scope" % ID, "/machine.slice/libpod-conmon-%s.scope" % ID),
    ("/init.scope", "", "none", "", "/init.scope"),
    ("/", "", "none", "", "/"),
]


@pytest.mark.parametrize("path,prefix,manager,name,own", PATHS)
def test_identify(path: str, prefix: str, manager: str, name: str, own: str) -> None:
    assert _cgroup.identify(path, prefix) == _cgroup.Identity(manager, name, own)


def test_membership_of_both_versions() -> None:
    v1 = _cgroup.membership("9:name=systemd:/system.slice/a.service\n5:cpu,cpuacct:/system.slice\n4:memory:/system.slice/a.service\n0::/\n")
    assert v1["cpuacct"] == "/system.slice" and _cgroup.process_path(v1) == "/system.slice/a.service"
    v2 = _cgroup.membership("0::/system.slice/a:b.service\n")
    assert _cgroup.process_path(v2) == "/system.slice/a:b.service"
    assert _cgroup.process_path({}) == "/"


def test_limits_and_quotas() -> None:
    assert _cgroup.limit("max\n") is None and _cgroup.limit("9223372036854771712\n") is None and _cgroup.limit(None) is None
    assert _cgroup.limit("104857600\n") == 104857600
    assert _cgroup.cpu_quota("50000 100000\n") == 0.5 and _cgroup.cpu_quota("max 100000\n") is None and _cgroup.cpu_quota(None) is None
    assert _cgroup.counters("oom_kill_disable 0\nunder_oom 0\noom_kill 7\nlow x\n") == {"oom_kill_disable": 0, "under_oom": 0, "oom_kill": 7}
