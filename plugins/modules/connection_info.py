#!/usr/bin/python

# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: connection_info
short_description: Tell who listens, how many wait, and what services are connected to
description:
  - Lists listening TCP and unix sockets with the connections that wait there, how many may, and the service that owns them.
  - Adds up outbound connections by peer and the connections of each known service.
  - Containers with a network of their own are looked at too, at most eight networks.
  - Owners of sockets are found among processes of known programs only, within a budget of time. Without privileges they are mostly not known.
  - How many may wait is asked of the kernel where it can answer without loading a module, and is null elsewhere.
  - It only reads. What was not measured is null and the reason is returned; a missing permission is no failure of the task.
version_added: 0.1.0
author:
  - oncall.pressure maintainers (@oncall-pressure)
extends_documentation_fragment:
  - oncall.pressure._attributes
  - oncall.pressure._attributes.info_module
options:
  timeout:
    description:
      - How long it may take, in seconds. It is stopped then and nothing but the reason is returned.
    type: float
    default: 10.0
seealso:
  - module: oncall.pressure.snapshot
"""

EXAMPLES = r"""
- name: Look at connections
  oncall.pressure.connection_info:
  register: found

- name: Say where connections wait
  ansible.builtin.debug:
    msg: "{{ found.connections.listeners | selectattr('waiting', 'gt', 0) | list }}"
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
connections:
  description: What was found. Null where nothing could be measured.
  returned: success
  type: dict
  contains:
    listeners:
      description: Sockets that listen, at most 50, those with the most waiting connections first.
      type: list
      elements: dict
      contains:
        kind:
          description: V(tcp) or V(unix).
          type: str
        address:
          description: The address, or the path of a unix socket.
          type: str
          sample: 127.0.0.1
        port:
          description: The port. Null of a unix socket.
          type: int
          sample: 8000
        backlog:
          description: How many connections may wait. Null where the kernel does not tell.
          type: int
        waiting:
          description: How many connections wait to be accepted.
          type: int
        established:
          description: How many connections to it are established.
          type: int
        service:
          description: The service that owns it. Null where that is not known.
          type: str
          sample: shop-web.service
        pid:
          description: The topmost process of that service.
          type: int
        own_network:
          description: Whether it listens in the host's own network and not in that of a container.
          type: bool
    outbound:
      description: The peers with the most connections that were made from here, at most 10.
      type: list
      elements: dict
      contains:
        address:
          description: The peer's address.
          type: str
        port:
          description: The peer's port.
          type: int
        sockets:
          description: How many connections there are.
          type: int
        states:
          description: How many of them are in which state.
          type: dict
          sample:
            ESTABLISHED: 4
        services:
          description: The services with the most of them, at most 3, with C(service), C(pid) and C(sockets).
          type: list
          elements: dict
    services:
      description: What each known service is connected to, at most 50 services.
      type: list
      elements: dict
      contains:
        service:
          description: The service.
          type: str
        pid:
          description: Its topmost process.
          type: int
        sockets:
          description: All its TCP connections.
          type: int
        inbound:
          description: Established connections that came to it.
          type: int
        outbound:
          description: Connections that it made.
          type: int
        connecting:
          description: Connections that it makes and that are not answered yet.
          type: int
        close_wait:
          description: Connections that the other side has closed and it has not.
          type: int
        capacity:
          description: How many requests it serves at a time. Null here; M(oncall.pressure.snapshot), which knows its settings, fills it in.
          type: int
        peers:
          description: Whom it is connected to most, at most 3, with C(address), C(port), C(sockets), C(connecting) and C(established).
          type: list
          elements: dict
    networks:
      description: How many networks were read.
      type: int
    addresses:
      description: The host's own addresses, without loopback and link-local ones, at most 32.
      type: list
      elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.oncall.pressure.plugins.module_utils._components import _connections
from ansible_collections.oncall.pressure.plugins.module_utils._components._process_table import own_chain
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options, run_all
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

#: The least and the most that is accepted for timeout.
TIMEOUT = (1.0, 300.0)


def main() -> None:
    module = AnsibleModule(argument_spec={"timeout": {"type": "float", "default": 10.0}}, supports_check_mode=True)
    if not TIMEOUT[0] <= module.params["timeout"] <= TIMEOUT[1]:
        module.fail_json(msg="timeout must be from %s to %s, not %s" % (*TIMEOUT, module.params["timeout"]))
    machine = Machine()
    collectors = {"connections": _connections.collect}
    row = run_all(collectors, machine, Options(own_pids=own_chain(machine)), module.params["timeout"]).rows["connections"]
    module.exit_json(changed=False, connections=row["data"], status=row["status"], reason=row["reason"], seconds=row["seconds"])


if __name__ == "__main__":
    main()
