# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Limits tried in real configurations of nginx, in containers.

.PHONY: limits
limits: venv-test ## limit requests in sample configurations of nginx (any others: tests/nginx/run DIR)
	@.venv/bin/python -m pytest -q tests/nginx
