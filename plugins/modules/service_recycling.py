#!/usr/bin/python

# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: service_recycling
short_description: Have the workers of one service replaced before they grow large
description:
  - Writes after how many requests a worker of C(gunicorn) or C(uvicorn) is replaced, or after how many tasks or how much memory a child of C(celery) is,
    where it counts at the next start. Nothing is restarted; the restart that it needs is proposed.
  - The number of requests is computed from the rate that was measured in the same call, so that a worker lives at least O(live_at_least) seconds,
    with a jitter so that workers are not replaced all at once.
  - The single largest worker is retired at once, gracefully. Its main process starts another in its place. C(SIGHUP), which starts all new workers
    before the old ones end and so doubles the memory, is never sent.
  - A figure that is written already is kept where it is stricter or hardly different.
  - Asked with O(recycle_every), a timer of C(systemd) on the host replaces all workers of C(gunicorn) or C(uvicorn) again and again, one at a time.
  - The host undoes the change by itself unless it is confirmed with M(oncall.pressure.incident). A worker that was retired is not brought back.
  - Releases that cannot do it without harm are refused, for example a C(uvicorn) before 0.30, which never starts a worker again that ended.
version_added: 0.1.0
author:
  - oncall.pressure maintainers (@oncall-pressure)
extends_documentation_fragment:
  - oncall.pressure._attributes
  - oncall.pressure._change
options:
  service:
    description:
      - The service, by its id as M(oncall.pressure.snapshot) says it, for example V(shop-web.service) or V(supervisor:shop-jobs).
    type: str
    required: true
  live_at_least:
    description:
      - How long a worker of C(gunicorn) or C(uvicorn) lives at least, in seconds.
    type: float
    default: 1800.0
  requests_per_s:
    description:
      - How many requests a second the service answers. Measured from the access logs of C(nginx) on the same host where it is not given.
    type: float
  max_requests:
    description:
      - After how many requests a worker of C(gunicorn) or C(uvicorn) is replaced. Computed where it is not given.
    type: int
  max_requests_jitter:
    description:
      - How many requests more a worker may answer, drawn at random for each. A tenth of the number of requests where it is not given.
    type: int
  max_tasks_per_child:
    description:
      - After how many tasks a child of C(celery) is replaced. Left as it is where it is not given.
    type: int
  max_memory_per_child_kib:
    description:
      - Above how much resident memory a child of C(celery) is replaced after its task, in KiB. Its part of the limit where neither this nor
        O(max_tasks_per_child) is given.
    type: int
  reserve_pct:
    description:
      - The part of the limit that is kept free when O(max_memory_per_child_kib) is computed, in per cent.
    type: float
    default: 20.0
  retire_largest:
    description:
      - Retire the largest worker at once. Where the settings are written already, only one that is at least half as large again as the median.
    type: bool
    default: true
  recycle_every:
    description:
      - Have a timer on the host replace all workers every so many seconds, at least an hour, the oldest first and one at a time. V(0) sets none and leaves
        one that is there. A tenth of the time at most is added at random, so that a fleet does not do it at one moment.
      - The timer counts from its start, from each boot and from the end of each run. It does nothing while a change of the host waits to be confirmed or
        could not be undone, while anybody else changes the host, or where C(/etc/oncall-pressure/read-only) is there, and stops at the first worker
        that is not replaced.
      - Refused for C(celery), which replaces its children by itself, C(rq), a service with one worker, a main process that does not replace a worker that
        ends, and a host that C(systemd) does not run.
      - It needs no number of requests; what cannot be computed is then left as it is.
    type: int
    default: 0
  inventory_name:
    description:
      - How the inventory calls this host, for the command lines that are proposed.
    type: str
    default: ""
seealso:
  - module: oncall.pressure.snapshot
  - module: oncall.pressure.incident
  - module: oncall.pressure.service_concurrency
"""

EXAMPLES = r"""
- name: Have web workers replaced before they grow large, none before it lived an hour
  oncall.pressure.service_recycling:
    service: shop-web.service
    live_at_least: 3600
    reason: one worker grows
  register: recycling

- name: Say what is left to do
  ansible.builtin.debug:
    msg: "{{ recycling.proposals }}"

- name: Replace each celery child after a hundred tasks, and none now
  oncall.pressure.service_recycling:
    service: supervisor:shop-jobs
    max_tasks_per_child: 100
    retire_largest: false

- name: Replace all web workers once a day, and none now
  oncall.pressure.service_recycling:
    service: shop-web.service
    retire_largest: false
    recycle_every: 86400
"""

RETURN = r"""
service:
  description: The service.
  returned: always
  type: str
  sample: shop-web.service
operations:
  description: What was done, or would be done in check mode, in this order.
  returned: always
  type: list
  elements: dict
  contains:
    kind:
      description: The kind of operation.
      type: str
      sample: file
    what:
      description: What it is done to.
      type: str
notes:
  description: The figures and where they come from.
  returned: always
  type: dict
  contains:
    settings:
      description: The settings that are written.
      type: dict
      sample: {max_requests: 4500, max_requests_jitter: 450}
    formula:
      description: The sum, with numbers and units. Null where every figure was given.
      type: str
      sample: ceil(10.00 requests/s through nginx in 600 s / 4 workers x 1800 s) = 4500 requests, rounded up to 4500
    says:
      description: What is to be known beside the sum.
      type: list
      elements: str
    lasting:
      description: Where it was written. Null where there is nothing to write.
      type: str
    retire:
      description: Which worker was retired, by its size, or why none was.
      type: str
    timer:
      description: When the timer replaces workers. Null where none was asked for.
      type: str
      sample: every 24 h, later by up to a tenth of that, one worker at a time (oncall-pressure-recycle-shop-web.timer)
    state:
      description: The state of the service.
      type: str
      sample: running
    summary:
      description: The same in lines for a screen.
      type: list
      elements: str
proposals:
  description: Steps that are left for a person, with their command lines.
  returned: always
  type: list
  elements: str
incident:
  description: The incident that the change belongs to.
  returned: changed, outside check mode
  type: str
entry:
  description: The change's entry in the host's journal.
  returned: changed, outside check mode
  type: str
state:
  description: The state of the change.
  returned: changed, outside check mode
  type: str
  sample: verified
confirm_within_s:
  description: After how many seconds the host undoes it unless it is confirmed.
  returned: changed, outside check mode
  type: float
refused:
  description: Whether it was refused and nothing was touched. C(msg) says why and what to do instead.
  returned: failure
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.oncall.pressure.plugins.module_utils._change._arguments import ARGUMENTS, settings_from
from ansible_collections.oncall.pressure.plugins.module_utils._change._engine import run_change
from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Refused
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _recycle_timer, _recycling
from ansible_collections.oncall.pressure.plugins.module_utils._controls._lifespan import Wished
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

#: What is accepted, by parameter: (least, most).
BOUNDS = {
    "live_at_least": (1.0, 604800.0), "requests_per_s": (0.000001, 10000000.0), "max_requests": (1, 1000000000), "max_requests_jitter": (0, 1000000000),
    "max_tasks_per_child": (1, 1000000000), "max_memory_per_child_kib": (1, 1000000000), "reserve_pct": (0.0, 90.0),
}

#: Longer than a month is no interval: a release or a boot comes before.
MOST_EVERY_S = 2592000


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            ARGUMENTS,
            service={"type": "str", "required": True},
            live_at_least={"type": "float", "default": 1800.0},
            requests_per_s={"type": "float"},
            max_requests={"type": "int"},
            max_requests_jitter={"type": "int"},
            max_tasks_per_child={"type": "int"},
            max_memory_per_child_kib={"type": "int"},
            reserve_pct={"type": "float", "default": 20.0},
            retire_largest={"type": "bool", "default": True},
            recycle_every={"type": "int", "default": 0},
            inventory_name={"type": "str", "default": ""},
        ),
        supports_check_mode=True,
    )
    given = module.params
    for name, (least, most) in BOUNDS.items():
        if given[name] is not None and not least <= given[name] <= most:
            module.fail_json(msg="%s must be from %s to %s, not %s" % (name, least, most, given[name]))
    if given["recycle_every"] and not _recycle_timer.LEAST_S <= given["recycle_every"] <= MOST_EVERY_S:
        module.fail_json(msg="recycle_every must be 0 or from %s to %s, not %s" % (_recycle_timer.LEAST_S, MOST_EVERY_S, given["recycle_every"]))
    wished = Wished(
        given["max_requests"], given["max_requests_jitter"], given["max_tasks_per_child"], given["max_memory_per_child_kib"], given["live_at_least"],
        given["reserve_pct"],
    )
    wish = _recycling.Wish(given["service"], wished, given["requests_per_s"], given["retire_largest"], given["inventory_name"],
                           given["recycle_every"])
    try:
        settings = settings_from(given)
        plan = _recycling.plan(Machine(), wish)
    except Refused as problem:
        module.fail_json(msg="refused: %s" % problem, refused=True, service=given["service"])
    module.exit_json(**run_change(Machine(), settings, plan, check_mode=module.check_mode, diff=module._diff))


if __name__ == "__main__":
    main()
