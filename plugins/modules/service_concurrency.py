#!/usr/bin/python

# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: service_concurrency
short_description: Lower the number of workers of one service
description:
  - Lowers the number of workers of a C(gunicorn), C(uvicorn), C(celery) or C(rq) service under systemd or supervisor, to a number that is
    computed from what was measured in the same call, or to one that is given. It never raises a number.
  - What runs is told to run fewer where that was found to be possible on this host (a signal that the main process catches, celery's remote control),
    one worker at a time. The number is also written where it counts at the next start. Nothing is restarted.
  - The host undoes the change by itself unless it is confirmed with M(oncall.pressure.incident).
  - A service whose manager is starting it again after a kill is given the lasting form alone. Containers and what Kubernetes runs are refused with the
    place where to change them.
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
  workers:
    description:
      - How many workers there should be. More than there are is refused.
      - V(0) has the number computed.
    type: int
    default: 0
  basis:
    description:
      - What the number is computed from.
      - V(memory) is the limit that binds the service, or the memory of the host where none does, less what is not its workers', less a reserve,
        divided by the size of one worker.
      - V(cpu) is the CPUs that the service may use times O(cpu_factor).
      - V(auto) is memory.
    type: str
    choices: [auto, memory, cpu]
    default: auto
  reserve_pct:
    description:
      - The part of the limit that is kept free, in per cent.
    type: float
    default: 20.0
  cpu_factor:
    description:
      - How many workers a CPU may have, for O(basis=cpu).
    type: float
    default: 2.0
  form:
    description:
      - V(runtime) only tells what runs. The number is back at the next start.
      - V(lasting) only writes it where it counts at the next start.
      - V(auto) does both, the first where it is possible.
    type: str
    choices: [auto, runtime, lasting]
    default: auto
  inventory_name:
    description:
      - How the inventory calls this host, for the command lines that are proposed.
    type: str
    default: ""
seealso:
  - module: oncall.pressure.snapshot
  - module: oncall.pressure.incident
  - module: oncall.pressure.service_recycling
"""

EXAMPLES = r"""
- name: Run as many web workers as fit in the unit's memory limit
  oncall.pressure.service_concurrency:
    service: shop-web.service
    reason: killed three times since two o'clock
  register: lowered

- name: Say how the number came about
  ansible.builtin.debug:
    msg: "{{ lowered.notes.formula }}"

- name: Run four celery children, and look for ten minutes whether that helps
  oncall.pressure.service_concurrency:
    service: supervisor:shop-jobs
    workers: 4
    confirm_within: 600

- name: Run no more workers than the CPUs carry, without writing any file
  oncall.pressure.service_concurrency:
    service: shop-api.service
    basis: cpu
    form: runtime
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
      sample: worker_count
    what:
      description: What it is done to.
      type: str
notes:
  description: The number, where it comes from and how it is reached.
  returned: always
  type: dict
  contains:
    workers:
      description: How many workers there should be.
      type: int
      sample: 3
    present:
      description: How many there are.
      type: int
      sample: 5
    basis:
      description: What it was computed from, V(memory), V(cpu) or V(explicit).
      type: str
    formula:
      description: The sum, with numbers and units.
      type: str
      sample: floor((400.0 MiB limit - 21.3 MiB other - 40.0 MiB reserve) / 95.2 MiB PSS per worker) = 3
    says:
      description: What is to be known beside the sum. Null where nothing is.
      type: str
    frees_bytes:
      description: About how much memory that gives back. Null where it is not known.
      type: int
    state:
      description: The state of the service.
      type: str
      sample: running
    kills:
      description: How many of its processes the kernel killed in the last hour. Null where that could not be read.
      type: int
    runtime:
      description: Why what runs was not told, or what is to be known of it. Null where there is nothing to say.
      type: str
    lasting:
      description: Where the number was written, or why it was not.
      type: str
    summary:
      description: The same in lines for a screen.
      type: list
      elements: str
acts_now:
  description: Whether what runs is changed; V(false) where all of it counts at the next start only.
  returned: changed
  type: bool
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
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _concurrency
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

#: What is accepted, by parameter: (least, most).
BOUNDS = {"workers": (0, 10000), "reserve_pct": (0.0, 90.0), "cpu_factor": (0.1, 100.0)}


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            ARGUMENTS,
            service={"type": "str", "required": True},
            workers={"type": "int", "default": 0},
            basis={"type": "str", "choices": ["auto", "memory", "cpu"], "default": "auto"},
            reserve_pct={"type": "float", "default": 20.0},
            cpu_factor={"type": "float", "default": 2.0},
            form={"type": "str", "choices": ["auto", "runtime", "lasting"], "default": "auto"},
            inventory_name={"type": "str", "default": ""},
        ),
        supports_check_mode=True,
    )
    given = module.params
    for name, (least, most) in BOUNDS.items():
        if not least <= given[name] <= most:
            module.fail_json(msg="%s must be from %s to %s, not %s" % (name, least, most, given[name]))
    wish = _concurrency.Wish(
        given["service"], given["workers"], given["basis"], given["reserve_pct"], given["cpu_factor"], given["form"], given["inventory_name"]
    )
    try:
        settings = settings_from(given)
        plan = _concurrency.plan(Machine(), wish)
    except Refused as problem:
        module.fail_json(msg="refused: %s" % problem, refused=True, service=given["service"])
    module.exit_json(**run_change(Machine(), settings, plan, check_mode=module.check_mode, diff=module._diff))


if __name__ == "__main__":
    main()
