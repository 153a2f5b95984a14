# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# A fleet of small hosts remediated, and the runs hurt. See docs/fleet.md.

.PHONY: fleet
fleet: venv-test ## remediate twenty small hosts in every shape of play, kill the runs, feed them hostile facts; figures to docs/results/ (hours)
	@tests/fleet/run $(ARGS)

.PHONY: fleet-short
fleet-short: venv-test ## some of each, drawn at random (some minutes)
	@tests/fleet/run --fast $(ARGS)
