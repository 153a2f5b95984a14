# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Faults at every boundary of every change, made on scratch hosts. See docs/faults.md.

.PHONY: faults
faults: venv-test ## faults at every boundary of every change, on scratch hosts; figures to docs/results/ (about an hour)
	@tests/faults/run $(ARGS)

.PHONY: faults-short
faults-short: venv-test ## one fault per boundary and kind (some minutes)
	@tests/faults/run --fast $(ARGS)
