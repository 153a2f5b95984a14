# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every kind of operation, by its name.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change import _file, _unit
from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Kind
from ansible_collections.oncall.pressure.plugins.module_utils._controls import (
    _celery_pool, _crontab, _job_run, _nginx_config_file, _retire_worker, _rq_workers, _service_restart, _supervisor_program, _worker_count,
)

KINDS: t.Final[dict[str, Kind]] = {
    "file": _file.KIND,
    "unit_state": _unit.STATE,
    "unit_property": _unit.PROPERTY,
    "worker_count": _worker_count.KIND,
    "retire_worker": _retire_worker.KIND,
    "celery_pool": _celery_pool.KIND,
    "rq_workers": _rq_workers.KIND,
    "supervisor_program": _supervisor_program.KIND,
    "nginx_config": _nginx_config_file.KIND,
    "service_restart": _service_restart.KIND,
    "crontab": _crontab.KIND,
    "job_run": _job_run.KIND,
}
