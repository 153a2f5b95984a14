# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""uvicorn's workers under gunicorn."""

bind = "127.0.0.1:8010"
workers = 2
worker_class = "uvicorn_worker.UvicornWorker"
