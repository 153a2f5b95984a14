# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""gunicorn's settings on this host."""

import multiprocessing

bind = "unix:/run/shop-web/gunicorn.sock"
workers = 2
worker_class = "gthread"
threads = 4
timeout = 45
max_requests = 2000
max_requests_jitter = 200
backlog = 256 * multiprocessing.cpu_count()
