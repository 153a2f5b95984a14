#!/usr/bin/python

# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_info
short_description: Tell what the sessions of PostgreSQL servers do and wait for
description:
  - Finds each PostgreSQL server of the host, version 13 or newer, by its main process, and asks it once through C(psql) over its Unix socket
    as the user that it runs as, within limits of time for the connection, each statement and each lock.
  - Tells client sessions by state, the longest of them, who blocks whom and who is at the end of it, connections against their limit,
    and, over a window, the statements of C(pg_stat_statements), large tables that were read one row after the other,
    and commits, temporary files, deadlocks and cache hits of each database.
  - Queries are shown without literals and comments. No password is given but one that O(postgres_dsn) holds, and no code of the application is run.
  - Where a server cannot be asked, the titles of its processes still tell its sessions by state.
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
      - How long to watch statements, tables and databases, in seconds. Several servers share it.
    type: float
    default: 2.0
  timeout:
    description:
      - How long it may take, in seconds, the window included. It is stopped then and nothing but the reason is returned.
    type: float
    default: 15.0
  postgres_dsn:
    description:
      - Servers to ask besides those that are found, or instead of being their owner, one connection string or a list of at most eight.
        Each is a URI like C(postgresql://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full), or words like C(host=HOST user=USER password=PASSWORD).
      - Taken are host, port, user, password, dbname, sslmode and sslrootcert, of one host each. The role needs C(pg_monitor), and nothing else.
      - One that names a server of this host stands in for its owner there. Any other is a server of its own in what is returned.
      - It is handed to C(psql) through a pipe, and is in no argument, environment, file, document or message.
    type: raw
notes:
  - It needs to be root, or the user that the server runs as, and a C(psql) on the host, also for a server in a container.
seealso:
  - module: oncall.pressure.snapshot
"""

EXAMPLES = r"""
- name: Look at the sessions of PostgreSQL
  oncall.pressure.postgres_info:
  become: true
  register: databases

- name: Say who holds others up
  ansible.builtin.debug:
    msg: "pid {{ item.pid }} ({{ item.state }}) holds up {{ item.blocks }} sessions"
  loop: "{{ databases.postgres | default([], true) | map(attribute='roots') | select | flatten }}"

- name: Watch statements for ten seconds
  oncall.pressure.postgres_info:
    window: 10
  become: true

- name: Look at a database that runs elsewhere
  oncall.pressure.postgres_info:
    postgres_dsn: "postgresql://monitor:{{ monitor_password | urlencode }}@db.example.com/shop?sslmode=verify-full&sslrootcert=system"
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
postgres:
  description: A row for each server. Null where none runs.
  returned: success
  type: list
  elements: dict
  contains:
    main_pid:
      description: The main process of the server. Null where it was not found here.
      type: int
    address:
      description: Where O(postgres_dsn) named it. Null where it was found here and asked as its owner.
      type: str
    version:
      description: Its version. Only the major one where it was not asked.
      type: str
    port:
      description: Its port, also of the Unix socket.
      type: int
    status:
      description: How it could be measured, V(ok), V(partial), V(denied) or V(error).
      type: str
    reason:
      description: What is missing of it and why.
      type: str
    source:
      description: Who told its sessions, V(server), or V(titles) of its processes.
      type: str
    database:
      description: The database that was asked, the one that most sessions use. Its tables and statements are told.
      type: str
    window_s:
      description: How long it was watched.
      type: float
    recovery:
      description: Whether it is a standby.
      type: bool
    up_s:
      description: How long it runs.
      type: float
    max_connections:
      description: The most connections it takes.
      type: int
    reserved:
      description: Those of them that only superusers and named roles may use.
      type: int
    usable:
      description: The others.
      type: int
    refused:
      description: Whether it had no connection left, not even a reserved one.
      type: bool
    sessions:
      description: Client sessions, ours not counted.
      type: dict
      contains:
        total:
          description: All of them.
          type: int
        active:
          description: Those that run a query.
          type: int
        idle:
          description: Those that do nothing.
          type: int
        idle_in_transaction:
          description: Those that do nothing and have a transaction open.
          type: int
        idle_in_transaction_aborted:
          description: Those of which the transaction failed.
          type: int
        waiting:
          description: Those that wait for a lock.
          type: int
        oldest_transaction_s:
          description: The age of the oldest transaction.
          type: float
        oldest_idle_in_transaction_s:
          description: How long the first of those in a transaction does nothing.
          type: float
    by_application:
      description: The ten applications with the most sessions.
      type: list
      elements: dict
      contains:
        name:
          description: The name.
          type: str
        sessions:
          description: Its sessions.
          type: int
        active:
          description: Those of them that run a query.
          type: int
        idle_in_transaction:
          description: Those of them that are idle in a transaction.
          type: int
    by_user:
      description: The ten roles with the most sessions.
      type: list
      elements: dict
      contains:
        name:
          description: The name.
          type: str
        sessions:
          description: Its sessions.
          type: int
        active:
          description: Those of them that run a query.
          type: int
        idle_in_transaction:
          description: Those of them that are idle in a transaction.
          type: int
    longest:
      description: The ten sessions that are not idle and have been at it longest.
      type: list
      elements: dict
      contains: &session
        pid:
          description: Its process id.
          type: int
        state:
          description: What it does, as the server says it.
          type: str
        user:
          description: The role that it logged in as.
          type: str
        application:
          description: The name that its application gave.
          type: str
        database:
          description: The database that it uses.
          type: str
        client:
          description: Its address, V(local) for one on the Unix socket.
          type: str
        state_s:
          description: How long it has been in its state.
          type: float
        query_s:
          description: How long its query runs. Null where none does.
          type: float
        transaction_s:
          description: How long its transaction is open. Null where none is.
          type: float
        wait_event_type:
          description: What kind of thing it waits for.
          type: str
        wait_event:
          description: What it waits for.
          type: str
        query:
          description: Its query, or its last one, without literals.
          type: str
    idle_in_transaction:
      description: The ten sessions that are idle in a transaction for longest.
      type: list
      elements: dict
      contains: *session
    blocking:
      description: Sessions that wait for a lock, those that wait longest first, at most 50.
      type: list
      elements: dict
      contains:
        pid:
          description: Its process id.
          type: int
        user:
          description: The role that it logged in as.
          type: str
        application:
          description: The name that its application gave.
          type: str
        database:
          description: The database that it uses.
          type: str
        blocked_by:
          description: Those that it waits for, process ids.
          type: list
          elements: int
        waited_s:
          description: How long it waits. Before version 14 how long its query runs.
          type: float
        lock:
          description: What kind of lock it wants.
          type: str
        mode:
          description: How strong that is.
          type: str
        relation:
          description: The table or index that it is on.
          type: str
        query:
          description: Its query without literals.
          type: str
        root_pid:
          description: The session that it waits for in the end.
          type: int
        root_state:
          description: What that one does.
          type: str
        root_transaction_s:
          description: How long the transaction of that one is open.
          type: float
    roots:
      description: Sessions that others wait for and that wait for nobody, those that hold up most first, at most 10.
      type: list
      elements: dict
      contains:
        pid:
          description: Its process id. V(0) for a prepared transaction.
          type: int
        kind:
          description: What kind of process it is.
          type: str
        state:
          description: What it does, as the server says it.
          type: str
        user:
          description: The role that it logged in as.
          type: str
        application:
          description: The name that its application gave.
          type: str
        database:
          description: The database that it uses.
          type: str
        client:
          description: Its address, V(local) for one on the Unix socket.
          type: str
        state_s:
          description: How long it has been in its state.
          type: float
        query_s:
          description: How long its query runs. Null where none does.
          type: float
        transaction_s:
          description: How long its transaction is open. Null where none is.
          type: float
        wait_event_type:
          description: What kind of thing it waits for.
          type: str
        wait_event:
          description: What it waits for.
          type: str
        query:
          description: Its query, or its last one, without literals.
          type: str
        holds:
          description: The locks on tables that it holds, at most 5.
          type: list
          elements: str
        blocks:
          description: How many sessions it holds up, directly or behind each other.
          type: int
        longest_wait_s:
          description: How long the first of them waits.
          type: float
    statements:
      description: The ten statements that took most time in the window. Null where that is not counted.
      type: list
      elements: dict
      contains:
        query:
          description: The statement without literals.
          type: str
        user:
          description: The role that ran it.
          type: str
        database:
          description: Where.
          type: str
        calls:
          description: How often it ended in the window.
          type: int
        total_s:
          description: How long it took together.
          type: float
        mean_s:
          description: How long it took each time.
          type: float
        rows:
          description: Rows that it gave or changed.
          type: int
        blocks_read:
          description: Blocks that were not in the server's cache.
          type: int
        temp_blocks:
          description: Blocks that it wrote to temporary files.
          type: int
    statements_reason:
      description: Why there are no statements.
      type: str
    tables:
      description: Tables with 10000 rows or more of the database that was asked, at most 10, those of which most rows were read one after the other first.
      type: list
      elements: dict
      contains:
        name:
          description: Its schema and name.
          type: str
        rows:
          description: Its rows, about.
          type: int
        bytes:
          description: Its size, about, when it was last analysed.
          type: int
        seq_scans:
          description: How often it was read whole in the window.
          type: int
        seq_rows:
          description: Rows that were read so in the window.
          type: int
        index_scans:
          description: How often an index of it was used in the window.
          type: int
        seq_scans_total:
          description: How often it was read whole since the counters were reset.
          type: int
        seq_rows_total:
          description: Rows that were read so since then.
          type: int
        index_scans_total:
          description: How often an index of it was used since then.
          type: int
    databases:
      description: What databases did in the window, at most 10.
      type: list
      elements: dict
      contains:
        name:
          description: Its name.
          type: str
        sessions:
          description: Its sessions.
          type: int
        commits_per_s:
          description: Transactions that were committed, ours among them.
          type: float
        rollbacks_per_s:
          description: Transactions that were rolled back.
          type: float
        connections_per_s:
          description: Connections that were made. Null before version 14.
          type: float
        cache_hit_pct:
          description: Of the blocks that were asked for, those that were in the server's cache.
          type: float
        temp_files:
          description: Temporary files that queries wrote.
          type: int
        temp_bytes:
          description: Their size.
          type: int
        deadlocks:
          description: Deadlocks that were resolved.
          type: int
        since_reset:
          description: The same of cache hits, temporary files and deadlocks since the counters were reset.
          type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.oncall.pressure.plugins.module_utils._components import _postgres
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._one import TIMEOUT, answer, within
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _postgres_dsn


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "window": {"type": "float", "default": 2.0}, "timeout": {"type": "float", "default": 15.0}, "postgres_dsn": {"type": "raw", "no_log": True},
        },
        supports_check_mode=True,
    )
    given = within(module, window=(0.1, 60.0), timeout=TIMEOUT)
    try:
        named = _postgres_dsn.targets(given["postgres_dsn"])
    except _postgres_dsn.BadDsn as bad:
        module.fail_json(msg=str(bad))
    options = Options(window_s=given["window"], postgres_dsn=named)
    answer(module, "postgres", _postgres.collect, Machine(), options, max(given["timeout"], options.window_s + 3.0))


if __name__ == "__main__":
    main()
