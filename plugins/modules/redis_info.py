#!/usr/bin/python

# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_info
short_description: Tell how full and how busy Redis is, and what waits in the queues of celery and rq
description:
  - Finds each Redis, Valkey or KeyDB server of this host by its process, and asks it over a socket that the kernel says is its own.
  - One in a container is asked through its socket in the file system, or through its private address where the connection is seen to arrive in its network.
  - Tells memory, clients, rates over a window, slow commands by their name, and the queues of celery and rq with the sizes of some messages.
  - Only commands that read and are cheap are sent, in bounded time. Names of keys are found with a bounded C(SCAN), never with C(KEYS).
    Of messages only their length is kept.
  - The password in the server's own configuration file is used where that file may be read, belongs to root or the server, and may be read by the server.
    Otherwise set O(username) and O(password). A password never stands in an argument, in an environment or in what is returned.
  - A user for it needs, in the words of Redis,
    C(ACL SETUSER oncall on >PASSWORD ~* -@all +auth +info +slowlog|get +select +scan +sscan +scard +exists +type +ttl +memory|usage
    +llen +lindex +hlen +hget +hstrlen +zcard +zrange).
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
      - Over how many seconds rates and the growth of queues are measured.
    type: float
    default: 2.0
  username:
    description:
      - The ACL user to log in as. The default user where it is not set.
    type: str
  password:
    description:
      - The password to log in with. It takes the place of the one in the configuration file.
      - It is sent to servers that run as an account of the system, or to the one that O(address) names.
    type: str
  address:
    description:
      - Ask only this server, written as in RV(redis.servers[].address), for example V(127.0.0.1:6379) or V(unix:/run/redis/redis-server.sock).
    type: str
  timeout:
    description:
      - How long it may take, in seconds. It is stopped then and nothing but the reason is returned.
    type: float
    default: 15.0
seealso:
  - module: oncall.pressure.snapshot
"""

EXAMPLES = r"""
- name: Look into Redis
  oncall.pressure.redis_info:
  register: found

- name: Say which queues hold something
  ansible.builtin.debug:
    msg: "{{ found.redis.servers | map(attribute='queues') | select | flatten | selectattr('waiting') | map(attribute='name') | list }}"

- name: Look with a user of its own, at one server
  oncall.pressure.redis_info:
    address: 127.0.0.1:6379
    username: oncall
    password: "{{ vault_redis_password }}"
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
redis:
  description: What was found. Null where no Redis runs.
  returned: success
  type: dict
  contains:
    window_s:
      description: The window of rates, in seconds.
      type: float
    servers:
      description: The servers, at most 8.
      type: list
      elements: dict
      contains:
        main_pid:
          description: Its process.
          type: int
        address:
          description: Where it was asked.
          type: str
        status:
          description: Whether it could be measured, V(ok), V(partial), V(denied) or V(error).
          type: str
        reason:
          description: What is missing and why.
          type: str
        answers:
          description: False where it gave no answer in time.
          type: bool
        full:
          description: True where it takes no more clients.
          type: bool
        version:
          description: Its version.
          type: str
        uptime_s:
          description: How many seconds it runs.
          type: int
        role:
          description: V(master) or V(slave), in its own words.
          type: str
        memory:
          description: Its memory.
          type: dict
          contains:
            used_bytes:
              description: What its data and buffers take.
              type: int
            rss_bytes:
              description: What is resident.
              type: int
            peak_bytes:
              description: The most it has used.
              type: int
            limited:
              description: Whether it has a maxmemory.
              type: bool
            maxmemory_bytes:
              description: The most it may use. Null without a maxmemory.
              type: int
            policy:
              description: What it does when it is full.
              type: str
            used_pct:
              description: What counts against maxmemory, in per cent of it.
              type: float
            fragmentation:
              description: Resident memory by used memory.
              type: float
            dataset_bytes:
              description: Data alone.
              type: int
            clients_bytes:
              description: Buffers of clients.
              type: int
            lua_bytes:
              description: Scripts.
              type: int
        clients:
          description: Its clients.
          type: dict
          contains:
            connected:
              description: How many are connected, without this module.
              type: int
            blocked:
              description: How many of them wait for something.
              type: int
            max:
              description: How many it takes.
              type: int
            rejected:
              description: How many it turned away since it started.
              type: int
        rates:
          description: What happened in the window.
          type: dict
          contains:
            ops_per_s:
              description: Commands.
              type: float
            evicted_per_s:
              description: Keys removed for want of memory.
              type: float
            expired_per_s:
              description: Keys that expired.
              type: float
            rejected_per_s:
              description: Clients turned away.
              type: float
            hit_pct:
              description: Lookups that found something.
              type: float
            hit_pct_since_start:
              description: The same since it started.
              type: float
            evicted:
              description: Keys removed for want of memory since it started.
              type: int
        persistence:
          description: How it saves its data.
          type: dict
          contains:
            loading:
              description: It still loads them.
              type: bool
            rdb_saving:
              description: It saves them now.
              type: bool
            rdb_last:
              description: How the last time went, V(ok) or V(failed).
              type: str
            aof:
              description: It writes a log of changes.
              type: bool
            aof_rewriting:
              description: It rewrites that log now.
              type: bool
            aof_last:
              description: How the last write to it went, V(ok) or V(failed).
              type: str
        latency:
          description: Slow commands.
          type: dict
          contains:
            slowest:
              description: The slowest 5 of its last 16 slow commands.
              type: list
              elements: dict
              contains:
                command:
                  description: The command's name.
                  type: str
                ms:
                  description: How long it took, in milliseconds.
                  type: float
                age_s:
                  description: How many seconds ago.
                  type: float
        databases:
          description: Its databases that hold something, at most 16.
          type: list
          elements: dict
          contains:
            db:
              description: Its number.
              type: int
            keys:
              description: How many keys it holds.
              type: int
            expires:
              description: How many of them expire.
              type: int
            scanned:
              description: How many names were looked at.
              type: int
            results_seen:
              description: Results of celery among these.
              type: int
            results_sampled:
              description: How many of the results were looked at.
              type: int
            results_without_expiry:
              description: How many of these never expire.
              type: int
            unacked:
              description: Messages of celery that were handed out and not acknowledged.
              type: int
            unacked_oldest_s:
              description: How long the oldest of these is out.
              type: float
            workers:
              description: Workers of rq that are registered.
              type: int
            suspended:
              description: Whether workers of rq are told to wait.
              type: bool
        largest_keys:
          description: The largest of some keys that were looked at, at most 5.
          type: list
          elements: dict
          contains:
            db:
              description: Its database.
              type: int
            name:
              description: Its name, with identities folded.
              type: str
            type:
              description: Its type.
              type: str
            bytes:
              description: What it takes.
              type: int
        queues:
          description: Queues of celery and rq, at most 40 of a database.
          type: list
          elements: dict
          contains:
            name:
              description: Its name.
              type: str
            kind:
              description: V(celery) or V(rq).
              type: str
            db:
              description: Its database.
              type: int
            waiting:
              description: Messages that wait.
              type: int
            growth_per_s:
              description: How many more there are for each second of the window.
              type: float
            oldest_s:
              description: How long the next job of rq has waited.
              type: float
            unacked:
              description: Messages of celery handed out, where the database has no other queue.
              type: int
            started:
              description: Jobs of rq that run.
              type: int
            failed:
              description: Jobs of rq that failed.
              type: int
            scheduled:
              description: Jobs of rq for later.
              type: int
            deferred:
              description: Jobs of rq that wait for another.
              type: int
            finished:
              description: Jobs of rq whose result is kept.
              type: int
            sampled:
              description: Messages whose length was looked at.
              type: int
            median_bytes:
              description: The median of these.
              type: int
            largest_bytes:
              description: The largest of these.
              type: int
            average_bytes:
              description: The average of all messages of celery, as the server estimates it.
              type: int
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.oncall.pressure.plugins.module_utils._components import _redis
from ansible_collections.oncall.pressure.plugins.module_utils._components._redis_client import Login
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options, Reading
from ansible_collections.oncall.pressure.plugins.module_utils._host._dial import Line
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._one import TIMEOUT, answer, within


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "window": {"type": "float", "default": 2.0}, "username": {"type": "str"}, "password": {"type": "str", "no_log": True},
            "address": {"type": "str"}, "timeout": {"type": "float", "default": 15.0},
        },
        required_by={"username": "password"},
        supports_check_mode=True,
    )
    given = within(module, window=(0.5, 60.0), timeout=TIMEOUT)
    login = Login(given["username"] or "", given["password"] or "", given["address"] or "")

    def collect(machine: Machine, options: Options) -> Reading:
        return _redis.measure(machine, options, login, Line)

    answer(module, "redis", collect, Machine(), Options(window_s=given["window"]), given["timeout"])


if __name__ == "__main__":
    main()
