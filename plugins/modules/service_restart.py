#!/usr/bin/python

# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: service_restart
short_description: Restart one service, and find out whether it stays up
description:
  - Restarts a unit of systemd or a program of supervisor, after what can be known beforehand at no cost was checked, and watches it until it has settled.
  - It is good only when it stayed up for O(settle) seconds, was not started again by its manager meanwhile, and has its workers back, counted in the kernel.
    A unit that starts and dies after three seconds fails here, also where its manager has started it again by the time one looks.
  - A worker of C(celery) or C(rq) may finish what it works on first, where its unit would otherwise end every process at once.
  - C(gunicorn) is stopped and started. C(SIGHUP), which starts the new workers before the old ones end and so doubles the memory, is never sent.
  - A restart cannot be put back. Undoing it sees to it that a service that ran runs again.
  - Run role P(oncall.pressure.evidence#role) first; a restart destroys what would say why it was needed.
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
  warm:
    description:
      - Let a worker of C(celery) or C(rq) finish what it works on, for as long as its unit's C(TimeoutStopSec) says (a minute under supervisor).
    type: bool
    default: true
  settle:
    description:
      - How long it must have been up with all its workers, in seconds.
    type: float
    default: 5.0
  start_timeout:
    description:
      - How long its workers may take to be back, in seconds.
    type: float
    default: 60.0
  check_application:
    description:
      - Have C(gunicorn) load the application once beforehand, as the service's user and within its memory limit. It is not done where that much memory
        is not free.
    type: bool
    default: true
  daemon_reload:
    description:
      - Have systemd read its files anew first, where those of this unit were changed since it read them. Otherwise such a unit is refused, since the
        restart would not be of what its files say.
    type: bool
    default: false
  force:
    description:
      - Also restart what is in a crash loop, does not run, or holds data for others (C(postgres), C(redis), C(docker)).
    type: bool
    default: false
attributes:
  idempotent:
    support: none
    details:
      - A restart is an act, not a state.
seealso:
  - module: oncall.pressure.evidence
  - module: oncall.pressure.incident
"""

EXAMPLES = r"""
- name: Restart a web service
  oncall.pressure.service_restart:
    service: shop-web.service
    reason: every worker is large
  register: restarted

- name: Restart jobs of supervisor at once, whatever they work on
  oncall.pressure.service_restart:
    service: supervisor:shop-jobs
    warm: false
"""

RETURN = r"""
service:
  description: The service.
  returned: always
  type: str
  sample: shop-web.service
operations:
  description: What was done, or would be done in check mode.
  returned: always
  type: list
  elements: dict
  contains:
    kind:
      description: The kind of operation.
      type: str
      sample: service_restart
    what:
      description: What it is done to.
      type: str
notes:
  description: What was known beforehand.
  returned: always
  type: dict
  contains:
    was:
      description: Its state, its component and the number of its workers before. Null is not known.
      type: dict
      sample: {state: active (running), workers: 4, component: gunicorn}
    workers_wanted:
      description: How many workers must be back. Null where it has none that can be counted.
      type: int
    stop:
      description: How it is stopped.
      type: str
    checks:
      description: What was checked beforehand, each passed or not checked and why.
      type: list
      elements: dict
    tasks:
      description: How many tasks C(celery) works on, null and the reason where it could not be asked.
      type: dict
    summary:
      description: The same in lines for a screen.
      type: list
      elements: str
proposals:
  description: Steps that are left for a person.
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
  description: After how many seconds the host ends the change by itself unless it is confirmed.
  returned: changed, outside check mode
  type: float
refused:
  description: Whether it was refused and nothing was touched. The message says why and what to do instead.
  returned: failure
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.oncall.pressure.plugins.module_utils._change._arguments import ARGUMENTS, settings_from
from ansible_collections.oncall.pressure.plugins.module_utils._change._engine import run_change
from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Refused
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _restart
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

#: What is accepted, by parameter: (least, most).
BOUNDS = {"settle": (0.5, 600.0), "start_timeout": (1.0, 900.0)}


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            ARGUMENTS,
            service={"type": "str", "required": True},
            warm={"type": "bool", "default": True},
            settle={"type": "float", "default": 5.0},
            start_timeout={"type": "float", "default": 60.0},
            check_application={"type": "bool", "default": True},
            daemon_reload={"type": "bool", "default": False},
            force={"type": "bool", "default": False},
        ),
        supports_check_mode=True,
    )
    given = module.params
    for name, (least, most) in BOUNDS.items():
        if not least <= given[name] <= most:
            module.fail_json(msg="%s must be from %s to %s, not %s" % (name, least, most, given[name]))
    wish = _restart.Wish(
        given["service"], given["warm"], given["force"], given["daemon_reload"], given["check_application"], given["settle"], given["start_timeout"],
    )
    try:
        settings = settings_from(given)
        plan = _restart.plan(Machine(), wish)
    except Refused as problem:
        module.fail_json(msg="refused: %s" % problem, refused=True, service=given["service"])
    module.exit_json(**run_change(Machine(), settings, plan, check_mode=module.check_mode, diff=module._diff))


if __name__ == "__main__":
    main()
