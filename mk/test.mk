# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# What the project checks, cheap things first. Every stage is a target of its own and ends with a line of counts.

STAGES := lint unit contract corpus endings artifact sanity scenarios limits incidents faults-short

.PHONY: test
test: venv-test ## run everything the project checks, cheapest first, stop at the first failure
	@.venv/bin/python tests/tools/stages.py $(STAGES)

.PHONY: lint
lint: venv-test ## ansible-lint (production), yamllint, ruff, shellcheck, licences, changelog, documentation, Python 3.8
	@.venv/bin/python tests/tools/lint.py

.PHONY: unit
unit: venv-test ## unit tests: parsers on recordings, rules on cases, the /proc reader against psutil
	@.venv/bin/python -m pytest -q -n 2 tests/unit tests/lab tests/fuzz

.PHONY: programs
programs: venv-test ## run-time controls on running gunicorn, uvicorn, celery and rq, collectors on running databases; mostly waiting
	@.venv/bin/python -m pytest -q tests/programs

.PHONY: contract
contract: venv-test ## the design's laws: what imports what, what must match, what must not be there
	@.venv/bin/python -m pytest -q -n 2 tests/contract

.PHONY: map
map: venv-test ## write docs/runbook-map.md: every command of the runbooks, and the fact that replaces it
	@.venv/bin/python tests/tools/runbook_map.py

.PHONY: pages
pages: venv-test ## write docs/rules/: a page for each rule, with its thresholds, evidence and lasting fix
	@.venv/bin/python tests/tools/rule_pages.py

.PHONY: corpus
corpus: venv-test ## the corpus runner on the project's own samples (all corpora: tests/corpus/run DIR)
	@.venv/bin/python -m pytest -q tests/corpus

.PHONY: endings
endings: venv-test ## how a run ends: exit statuses, bad input, hosts that do not answer, saved snapshots
	@.venv/bin/python -m pytest -q tests/endings

.PHONY: artifact
artifact: venv-test ## build the collection, install it offline elsewhere, run it by name; and from a clone of another name
	@.venv/bin/python tests/tools/artifact.py

.PHONY: sanity
sanity: venv-test ## ansible-test sanity, every test, no ignore file
	@.venv/bin/python tests/tools/sanity.py

.PHONY: scenarios
scenarios: venv-test ## molecule scenarios in containers; installs Docker where root may and neither it nor podman is there
	@.venv/bin/python tests/tools/scenarios.py $(if $(ALL),,--fast)

.PHONY: incidents
incidents: venv-test ## incidents caused for real in the lab and diagnosed blind, a third of them (all: make incidents ALL=1)
	@tests/incidents/run $(if $(ALL),,--fast)

.PHONY: bench
bench: venv-test ## measure the goals of speed and cost, written to docs/results/
	@tests/bench/run

.PHONY: cores
cores: venv-test ## run the playbook with every ansible-core line that is supported, as far as Pythons are found
	@.venv/bin/python tests/tools/cores.py
