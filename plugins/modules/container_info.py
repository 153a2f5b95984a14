#!/usr/bin/python

# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: container_info
short_description: Tell how the containers of a host are
description:
  - Asks Docker and podman over their sockets which containers there are, how they ended, how often they were started again and whether they are healthy.
  - What a container uses is read from its control group, which takes no time that a busy engine does not have.
  - Containers of Kubernetes are found by their control groups; no API of a cluster is asked.
  - An engine is asked only where it runs, and only over a socket that belongs to root or to the user whose engine it is.
  - Variables of a container's environment and what its health check printed are not returned.
  - It only reads. What was not measured is null and the reason is returned; a missing permission is no failure of the task.
version_added: 0.1.0
author:
  - oncall.pressure maintainers (@oncall-pressure)
extends_documentation_fragment:
  - oncall.pressure._attributes
  - oncall.pressure._attributes.info_module
options:
  window:
    description:
      - How long to measure use of processors, in seconds.
    type: float
    default: 2.0
  timeout:
    description:
      - How long it may take, in seconds. It is stopped then and nothing but the reason is returned.
    type: float
    default: 15.0
seealso:
  - module: oncall.pressure.snapshot
"""

EXAMPLES = r"""
- name: Look at the containers
  oncall.pressure.container_info:
  register: found

- name: Name those that were killed in their memory limit
  ansible.builtin.debug:
    msg: "{{ found.containers.containers | default([], true) | selectattr('oom_killed', 'true') | map(attribute='name') | list }}"
"""

RETURN = r"""
status:
  description: Whether it could be measured, V(ok), V(partial), V(absent), V(denied) or V(error).
  returned: success
  type: str
  sample: ok
reason:
  description: What is missing and why. Null where nothing is.
  returned: success
  type: str
seconds:
  description: How long it took.
  returned: success
  type: float
containers:
  description: What was found. Null where there are no containers.
  returned: success
  type: dict
  contains:
    engine:
      description: The engines that run.
      type: list
      elements: dict
      contains:
        kind:
          description: V(docker) or V(podman).
          type: str
        version:
          description: Its version.
          type: str
        socket:
          description: Where it was asked. Null where it has no socket.
          type: str
        status:
          description: Whether it answered, V(ok), V(partial), V(absent), V(denied) or V(error).
          type: str
        reason:
          description: What is missing and why. Null where nothing is.
          type: str
    counts:
      description: How many containers are running, exited (of the 100 newest), restarting and unhealthy. Null is not known.
      type: dict
      sample:
        running: 4
        exited: 1
        restarting: 0
        unhealthy: 1
    containers:
      description: Those in trouble first, then by memory, at most 50. Those that ended more than a day ago are left out.
      type: list
      elements: dict
      contains:
        id:
          description: The service that it is in a snapshot.
          type: str
          sample: docker:3f6d1b5ad292
        container_id:
          description: The first twelve digits of its id.
          type: str
        engine:
          description: V(docker), V(podman), V(containerd) or V(kubernetes).
          type: str
        pod:
          description: The uid of its pod.
          type: str
        name:
          description: Its name. This and what follows up to RV(containers.containers[].failing_streak) only its engine knows.
          type: str
        image:
          description: Its image.
          type: str
        project:
          description: The Compose project that it is of.
          type: str
        service:
          description: The Compose service that it is of.
          type: str
        command:
          description: What it runs, without secrets.
          type: str
        state:
          description: V(created), V(running), V(paused), V(restarting), V(removing), V(exited), V(dead) or V(unknown).
          type: str
        created_age_s:
          description: How many seconds ago it was made.
          type: float
        started_age_s:
          description: How many seconds ago it was started last.
          type: float
        finished_age_s:
          description: How many seconds ago it ended last. Null where it never did.
          type: float
        finished_at:
          description: When that was, UTC.
          type: str
        exit_code:
          description: Its exit code. Null while it runs.
          type: int
        oom_killed:
          description: Whether its engine says that the kernel killed in it for want of memory.
          type: bool
        restarts:
          description: How often its engine started it again since somebody started it.
          type: int
        restart_policy:
          description: When its engine starts it again, V(no), V(always), V(unless-stopped) or V(on-failure).
          type: str
        health:
          description: V(starting), V(healthy) or V(unhealthy). Null where it has no health check.
          type: str
        failing_streak:
          description: How often in a row its health check failed.
          type: int
        processes:
          description: How many processes it has.
          type: int
        cpu:
          description: CPUs that it used over the window, its quota in CPUs, and the per cent of periods in which the quota stopped it.
          type: dict
          sample:
            used: 0.52
            quota: 1.0
            throttled_pct: 0.0
        memory:
          description: What it uses without file cache that is not in use, its limit, kills since it was started, and kills within the window.
          type: dict
          sample:
            bytes: 209715200
            limit_bytes: 268435456
            oom_kills: 0
            oom_kills_in_window: 0
        pids:
          description: How many processes and threads it has and may have.
          type: dict
          sample:
            current: 12
            limit: 256
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.oncall.pressure.plugins.module_utils._components import _containers
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._one import TIMEOUT, answer, within


def main() -> None:
    module = AnsibleModule(
        argument_spec={"window": {"type": "float", "default": 2.0}, "timeout": {"type": "float", "default": 15.0}},
        supports_check_mode=True,
    )
    given = within(module, window=(0.1, 60.0), timeout=TIMEOUT)
    options = Options(window_s=given["window"])
    answer(module, "containers", _containers.collect, Machine(), options, max(given["timeout"], options.window_s + 3.0))


if __name__ == "__main__":
    main()
