# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Memory that grows in real processes, and the pattern that is named. See docs/development.md.

.PHONY: growth
growth: venv-test ## processes that grow in each way the runbooks name, told apart; figures to docs/results/ (ten minutes)
	@tests/growth/run $(ARGS)
