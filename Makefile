# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# `make help` lists the targets. Every recipe runs from this folder and names paths relative to it,
# so a clone works under any name and in any place.

SHELL := /bin/sh
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory --no-builtin-rules

# Ansible refuses to run without a UTF-8 locale, and the operator's may be anything.
export LC_ALL := C.UTF-8
# Found even where the folder is writable by others, in which case Ansible ignores a file it finds by itself.
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
# molecule and ansible-lint look for their companions there.
export PATH := $(CURDIR)/.venv/bin:$(PATH)

ARGS ?=
become := $(if $(filter 0,$(shell id -u)),,-e pressure_become=false)

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z][a-z0-9-]*:.*## ' Makefile $(wildcard mk/*.mk) | sort -u \
	| awk -F ':.*## ' '{ printf "  make %-18s %s\n", $$1, $$2 }'

.PHONY: diagnose
diagnose: venv ## diagnose this host; without root where there is none (ARGS="..." is passed on)
	@ansible-playbook playbooks/diagnose.yml -i inventories/local $(become) $(ARGS)

.PHONY: venv
venv: # what running needs
	@requirements/install run

.PHONY: venv-test
venv-test: # what checking needs
	@requirements/install test

.PHONY: pins
pins: ## write requirements/constraints.txt anew, after a change to run.txt or test.txt
	@requirements/pin

.PHONY: clean
clean: ## remove what make made here, except the lab's images and the reports
	rm -rf .venv .install.lock .cache/sanity .cache/cores .pytest_cache .ruff_cache

-include mk/*.mk
