# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Every collector in every trouble, on a host whose programs are the distribution's. See docs/development.md.

.PHONY: table
table: venv-test ## every collector with its program working, absent, denied, hanging, answering rubbish; figures to docs/results/ (ten minutes)
	@tests/table/run $(ARGS)
