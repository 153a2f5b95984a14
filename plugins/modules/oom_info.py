#!/usr/bin/python

# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: oom_info
short_description: Tell which processes were killed for want of memory
description:
  - Reads the kernel's OOM kills of a time window from the kernel's log buffer,
    and from the journal or a log file where the buffer does not reach back far enough.
  - Each kill comes with its victim, its memory, whether the whole machine or a control group was out of memory, and the unit or container it belonged to.
  - Kills by C(systemd-oomd) and C(earlyoom) are listed apart.
  - In a container the kernel's log is the machine's. Kills whose control group is not the container's own are counted as unattributed.
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
      - How far back to look, in seconds.
    type: int
    default: 3600
  timeout:
    description:
      - How long it may take, in seconds. It is stopped then and nothing but the reason is returned.
    type: float
    default: 10.0
seealso:
  - module: oncall.pressure.snapshot
"""

EXAMPLES = r"""
- name: Look for kills in the last hour
  oncall.pressure.oom_info:
  register: kills

- name: Say which services were hit
  ansible.builtin.debug:
    msg: "{{ kills.oom.services | default({}, true) | dict2items | map(attribute='key') | list }}"

- name: Look for kills in the last day
  oncall.pressure.oom_info:
    window: 86400
"""

RETURN = r"""
status:
  description: Whether it could be measured, V(ok), V(partial), V(denied) or V(error).
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
oom:
  description: What was found. Null where nothing could be measured.
  returned: success
  type: dict
  contains:
    window_s:
      description: How far back was looked, in seconds.
      type: float
    sources:
      description: What was read, of V(kmsg), V(syslog), V(journal), V(counters) and the path of a log file.
      type: list
      elements: str
    covered_s:
      description: How many seconds the sources reach back.
      type: float
    kills:
      description: The kills in the window that are this host's own.
      type: int
    unattributed:
      description: The kills in the window that are another's, or that do not say whose they are.
      type: int
    events:
      description: The kills, newest first, at most 50.
      type: list
      elements: dict
      contains:
        at:
          description: When, UTC.
          type: str
          sample: "2026-01-12T08:30:01Z"
        age_s:
          description: How many seconds ago.
          type: float
        pid:
          description: The victim's process id.
          type: int
        name:
          description: The victim's name.
          type: str
        constraint:
          description: What was out of memory, the whole machine (V(global)) or a control group (V(memcg)).
          type: str
        cgroup:
          description: The victim's control group.
          type: str
        limit_cgroup:
          description: The control group whose limit was hit.
          type: str
        service:
          description: The unit or container that the victim belonged to.
          type: str
          sample: shop-web.service
        own:
          description: Whether the victim is this host's own.
          type: bool
        anon_rss_bytes:
          description: Anonymous memory that the victim held.
          type: int
        total_vm_bytes:
          description: Address space of the victim.
          type: int
        uid:
          description: The victim's user.
          type: int
        trigger:
          description: The name of the process whose request for memory could not be met.
          type: str
    services:
      description: This host's own kills by service.
      type: dict
      sample:
        shop-web.service:
          kills: 3
          last_at: "2026-01-12T08:30:01Z"
          last_age_s: 61.2
          largest_anon_rss_bytes: 431226880
          median_anon_rss_bytes: 429916160
          names:
            gunicorn: 3
    counters:
      description: Kills that the kernel counted, on the whole machine since boot, and in this host's own control group.
      type: dict
      contains:
        vmstat_oom_kill:
          description: On the whole machine. Null in a container.
          type: int
        cgroup_oom_kill:
          description: In the host's own control group. Null where it has no memory accounting.
          type: int
    userspace:
      description: Kills by programs that act before the kernel has to.
      type: list
      elements: dict
      contains:
        at:
          description: When, UTC.
          type: str
        program:
          description: The program, V(systemd-oomd) or V(earlyoom).
          type: str
        what:
          description: The unit or process that was killed.
          type: str
    alarms:
      description:
        - What else the kernel complained of within the window, by kind and by whom it names, newest first, at most 20.
        - It is the machine's, in a container too. Null where the kernel's log may not be read.
      type: list
      elements: dict
      contains:
        kind:
          description: >-
            V(hung_task), V(soft_lockup), V(hard_lockup), V(rcu_stall), V(allocation_failure), V(throttled) (heat), V(io_error), V(read_only) (a file system),
            V(crash) (a program), V(connections_dropped) (no room to follow them), V(syn_flood), V(sockets_without_memory) or V(fork_refused).
          type: str
        about:
          description: The process, processor, device, port or control group that is named. Null where none is.
          type: str
        count:
          description: How many lines.
          type: int
        last_at:
          description: When last, UTC.
          type: str
        last_age_s:
          description: How long ago that is.
          type: float
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.oncall.pressure.plugins.module_utils._components import _oom
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._one import TIMEOUT, answer, within


def main() -> None:
    module = AnsibleModule(
        argument_spec={"window": {"type": "int", "default": 3600}, "timeout": {"type": "float", "default": 10.0}},
        supports_check_mode=True,
    )
    given = within(module, window=(1, 604800), timeout=TIMEOUT)
    options = Options(oom_window_s=float(given["window"]))
    answer(module, "oom", _oom.collect, Machine(), options, given["timeout"])


if __name__ == "__main__":
    main()
