# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Hostile input for every parser. See docs/development.md.

.PHONY: fuzz
fuzz: venv-test ## feed every parser hostile input, a million in all; figures to docs/results/ (half an hour)
	@tests/fuzz/run $(ARGS)
