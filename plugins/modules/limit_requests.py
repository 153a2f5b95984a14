#!/usr/bin/python

# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: limit_requests
short_description: Limit the requests to one path or of one client in nginx
description:
  - Writes one file of its own into a folder that the running C(nginx) includes in its C(http) block, and has C(nginx) load it. No other file is edited.
  - Each client address may ask for the path so many times a second. Everything else, and everybody on the keep list, is not limited.
  - The rate is computed from the access logs of the last ten minutes, so that no other client than the busiest would have been refused.
  - With O(mode=dry_run) nothing is refused, and RV(notes.report) says what would have been and whom.
  - It counts as done when C(nginx) has new worker processes and a request of our own was refused. Otherwise everything is put back at once.
    That request is a C(HEAD) that announces a body which never comes, so that C(nginx) counts it and, unless it is told not to wait for bodies, the
    application does not see it.
  - It is refused, with the lines to add by hand in RV(by_hand), where a location that serves the path has a limit of its own, where no such folder
    is included, and where a client's address is that of a proxy. It is also refused where the configuration is invalid already, or was edited and not loaded.
  - C(X-Forwarded-For) counts only where the configuration names the proxies to believe (C(set_real_ip_from)), and not where it believes everybody.
  - C(nginx) in a container is refused with the place where to change it.
  - The host undoes the change by itself unless it is confirmed with M(oncall.pressure.incident).
version_added: 0.1.0
author:
  - oncall.pressure maintainers (@oncall-pressure)
requirements:
  - netaddr (on the controller)
extends_documentation_fragment:
  - oncall.pressure._attributes
  - oncall.pressure._change
options:
  path:
    description:
      - The path, as it was logged, without its query, or as the diagnosis says it with C({n}), C({uuid}), C({hex}) and C({token}) for identifiers.
      - A star at its end means everything that begins so.
      - Empty is every path; then O(client) must be given.
    type: str
    default: ""
  client:
    description:
      - The addresses or networks of the clients that are limited. Empty is everybody.
      - A network may be as wide as C(/16), with IPv6 as C(/32). One that is special, of a delivery network or on the keep list is refused.
    type: list
    elements: str
    default: []
  mode:
    description:
      - V(dry_run) only says what would be refused. It needs C(nginx) 1.17.1, and no other limits that would be suspended by it.
      - V(enforce) refuses, with status 429 where no other limit inherits that, else with the status that is set.
    type: str
    choices: [dry_run, enforce]
    default: dry_run
  rate:
    description:
      - How many requests a second a client may send. V(0) has it computed.
      - Where everybody is limited, less than the busiest other client has needed is refused.
    type: int
    default: 0
  burst:
    description:
      - How many requests beyond the rate may come at once. V(0) has it computed.
    type: int
    default: 0
  keep:
    description:
      - Addresses, networks and ranges (C(192.0.2.1-192.0.2.9)) that are never limited, beside private and special ones, delivery networks, the host's own,
        its gateways and name servers, upstream servers, the addresses of the inventory's hosts, and the one that the operator comes from.
      - Monitoring and balancers belong here.
    type: list
    elements: str
    default: []
  watch:
    description:
      - How long to look whom the limit refuses, or would refuse, in seconds.
    type: float
    default: 20.0
  service:
    description:
      - Which C(nginx), where several run, by its id as M(oncall.pressure.snapshot) says it, for example V(nginx.service).
    type: str
    default: ""
  inventory_name:
    description:
      - How the inventory calls this host, for the command lines that are proposed.
    type: str
    default: ""
seealso:
  - module: oncall.pressure.snapshot
  - module: oncall.pressure.incident
"""

EXAMPLES = r"""
- name: Say for a minute whom a limit on a path would refuse
  oncall.pressure.limit_requests:
    path: /export
    watch: 60
    keep: ["198.51.100.0/24"]
  register: tried

- name: Show it
  ansible.builtin.debug:
    msg: "{{ tried.notes.report }}"

- name: Limit one client on one path, for an hour
  oncall.pressure.limit_requests:
    path: /report/{n}
    client: 203.0.113.9
    mode: enforce
    lifetime: 3600
    reason: nine of ten requests are its
"""

RETURN = r"""
service:
  description: The service.
  returned: always
  type: str
  sample: nginx.service
operations:
  description: What was done, or would be done in check mode, in this order.
  returned: always
  type: list
  elements: dict
  contains:
    kind:
      description: The kind of operation.
      type: str
      sample: nginx_config
    what:
      description: What it is done to.
      type: str
notes:
  description: The figures, where they come from, and whom the limit refuses.
  returned: always
  type: dict
  contains:
    rate_per_s:
      description: How many requests a second a client may send.
      type: int
      sample: 2
    burst:
      description: How many beyond that at once.
      type: int
      sample: 12
    formula:
      description: The sum, with numbers and units.
      type: str
    mode:
      description: V(dry_run) or V(enforce).
      type: str
    status:
      description: The statuses of refusals.
      type: list
      elements: int
    keep:
      description: Who is never limited.
      type: list
      elements: str
    covered_s:
      description: How many seconds of the access logs were read. Null where none could be.
      type: float
    requests:
      description: How many requests to the path were in them.
      type: int
    busiest:
      description: The busiest client that the limit is for. Null where there is none.
      type: dict
    problems:
      description: What of the logs was not read as it should be.
      type: list
      elements: str
    proof:
      description: What became of our own requests, by server. Empty in check mode.
      type: list
      elements: str
    report:
      description: What was refused, or would have been, while it was watched. Empty in check mode.
      type: dict
    summary:
      description: The same in lines for a screen.
      type: list
      elements: str
proposals:
  description: The command line that enforces what was tried.
  returned: always
  type: list
  elements: str
by_hand:
  description: The lines to add by hand where the module must not.
  returned: when it was refused for such a reason
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
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _nginx_limit
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

#: What is accepted, by parameter: (least, most).
BOUNDS = {"rate": (0, 1000000), "burst": (0, 1000000), "watch": (0.0, 600.0)}


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            ARGUMENTS,
            path={"type": "str", "default": ""},
            client={"type": "list", "elements": "str", "default": []},
            mode={"type": "str", "choices": ["dry_run", "enforce"], "default": "dry_run"},
            rate={"type": "int", "default": 0},
            burst={"type": "int", "default": 0},
            keep={"type": "list", "elements": "str", "default": []},
            watch={"type": "float", "default": 20.0},
            service={"type": "str", "default": ""},
            inventory_name={"type": "str", "default": ""},
        ),
        supports_check_mode=True,
    )
    given = module.params
    for name, (least, most) in BOUNDS.items():
        if not least <= given[name] <= most:
            module.fail_json(msg="%s must be from %s to %s, not %s" % (name, least, most, given[name]))
    wish = _nginx_limit.Wish(
        given["path"], [text for text in given["client"] if text], given["mode"] == "dry_run", given["rate"], given["burst"], given["keep"], given["service"],
        given["watch"], given["inventory_name"],
    )
    try:
        settings = settings_from(given)
        plan = _nginx_limit.plan(Machine(), wish)
    except _nginx_limit.ByHand as problem:
        module.fail_json(msg="refused: %s" % problem, refused=True, service=given["service"], by_hand=problem.lines)
    except Refused as problem:
        module.fail_json(msg="refused: %s" % problem, refused=True, service=given["service"])
    module.exit_json(**run_change(Machine(), settings, plan, check_mode=module.check_mode, diff=module._diff))


if __name__ == "__main__":
    main()
