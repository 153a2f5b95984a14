# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The lab: hosts that run the real stack, to be looked at and made sick. See docs/lab.md.

.PHONY: lab
lab: venv ## start three hosts as containers running the real stack (builds their image once)
	@tests/lab/lab up

.PHONY: lab-image
lab-image: venv ## build the lab's image unless it is there
	@tests/lab/lab image

.PHONY: lab-machine
lab-machine: venv ## boot one whole machine with its own kernel (cgroup v2)
	@tests/lab/lab machine

.PHONY: lab-incident
lab-incident: venv ## cause an incident: NAME=... [HOST=lab-2] [SEED=n]
	@tests/lab/lab incident $(if $(NAME),$(NAME),--list) $(if $(HOST),--host $(HOST)) $(if $(SEED),--seed $(SEED))

.PHONY: lab-heal
lab-heal: venv ## undo every incident
	@tests/lab/lab heal

.PHONY: recordings
recordings: venv-test ## record the snapshots in which a test finds what the runbooks ask for, from two containers of the lab (some minutes)
	@tests/lab/record

.PHONY: lab-down
lab-down: venv ## remove the lab's containers, network and machine
	@tests/lab/lab down

.PHONY: lab-clean
lab-clean: venv ## lab-down, and remove the image and the machine's disk too
	@tests/lab/lab clean
