# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The lab's incidents remediated without a person, and measured from outside. See docs/lab.md.

.PHONY: remediated
remediated: venv-test ## incidents remediated by themselves, probed from another host; figures to docs/results/ (about an hour)
	@tests/incidents/run --remediate $(ARGS)
