# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decide on the controller what the snapshots of a run mean, write it down and say it."""

from __future__ import annotations

import os
import typing as t

from ansible import constants, context
from ansible.errors import AnsibleActionFail
from ansible.module_utils.common.validation import check_type_dict
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean, visible
from ansible_collections.oncall.pressure.plugins.plugin_utils._checklist import load_checklist
from ansible_collections.oncall.pressure.plugins.plugin_utils._diagnosis import diagnose, exit_status
from ansible_collections.oncall.pressure.plugins.plugin_utils._documents import (
    BadDocument, point_latest, read_snapshots, write_document, write_text,
)
from ansible_collections.oncall.pressure.plugins.plugin_utils._earlier import read_earlier, snapshots_beside
from ansible_collections.oncall.pressure.plugins.plugin_utils._evaluate import HAS_JMESPATH
from ansible_collections.oncall.pressure.plugins.plugin_utils._located import BadFile
from ansible_collections.oncall.pressure.plugins.plugin_utils._majority import peers
from ansible_collections.oncall.pressure.plugins.plugin_utils._markdown import markdown
from ansible_collections.oncall.pressure.plugins.plugin_utils._report import screen
from ansible_collections.oncall.pressure.plugins.plugin_utils._rules import load_rules, resolve_thresholds
from ansible_collections.oncall.pressure.plugins.plugin_utils._timeline import read_events

#: Callbacks whose standard output people read. Under any other one it belongs to a machine.
_FOR_PEOPLE = ("default", "debug", "yaml", "dense", "unixy", "selective")

SHIPPED = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "roles", "diagnose", "files", "rules")
CHECKLIST = os.path.join(os.path.dirname(SHIPPED), "checklist.yml")


class ActionModule(ActionBase):
    """Reads snapshots and rules, writes diagnosis.json and report.md, prints the verdicts. Touches no host."""

    _requires_connection = False
    _supports_check_mode = True
    _supports_async = False
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Returns ``exit_status``, the counts of the fleet under ``summary``, the path under ``report``, ``mitigations`` and ``peers``.

        No text of any host but names that are harmless by their letters.
        """
        super().run(tmp, task_vars)
        dummy, options = self.validate_argument_spec(
            argument_spec={
                "report_dir": {"type": "path", "required": True},
                "snapshots": {"type": "str", "default": ""},
                "link": {"type": "path"},
                "hosts": {"type": "list", "elements": "str", "default": []},
                "rules_dirs": {"type": "list", "elements": "path", "default": []},
                "thresholds": {"type": "dict", "default": {}},
                "earlier": {"type": "str", "default": ""},
                "events": {"type": "raw", "default": []},
                "fail_on": {"type": "list", "elements": "str", "choices": ["incident", "unknown"], "default": []},
            },
        )
        if not HAS_JMESPATH:
            raise AnsibleActionFail("the Python library jmespath is missing on the controller: pip install jmespath")
        try:
            return self._decide(options)
        except BadFile as problem:
            return _bad_input(str(problem))
        except OSError as problem:
            return _bad_input("%s: %s" % (problem.filename or options["report_dir"], problem.strerror))

    def _decide(self, options: dict[str, t.Any]) -> dict[str, t.Any]:
        folder = options["report_dir"]
        saved = os.path.expanduser(options["snapshots"])
        ruleset, checks = load_rules(SHIPPED, options["rules_dirs"]), load_checklist(CHECKLIST)
        loaded = read_snapshots(saved or folder)
        if saved and not loaded:
            return _bad_input("%s: no snapshots there" % saved)
        given = {clean(str(host)): mapping(value) for host, value in options["thresholds"].items()}
        # A saved snapshot may be of a host that is not in the play: what all hosts of the play go by counts for it too.
        shared = next(iter(given.values())) if given and all(value == next(iter(given.values())) for value in given.values()) else None
        limits: dict[str, t.Any] = {}
        for host in sorted({*given, *(row.host for row in loaded), *map(clean, options["hosts"])}):
            try:
                limits[host] = resolve_thresholds({**ruleset.rules, **checks}, given.get(host, shared))
            except ValueError as problem:
                return _bad_input("pressure_thresholds of %s: %s" % (host, problem))
        try:
            earlier = read_earlier(os.path.expanduser(options["earlier"])) if options["earlier"] else {}
            before = snapshots_beside(os.path.expanduser(options["earlier"])) if options["earlier"] else {}
        except BadDocument as problem:
            return _bad_input("pressure_earlier: %s: %s" % (options["earlier"], problem))
        try:
            events = read_events(_plain(options["events"]))
        except ValueError as problem:
            return _bad_input("pressure_events: %s" % problem)
        document = diagnose(loaded, ruleset.rules, limits.__getitem__, options["hosts"], earlier, events, before, checks)
        report = os.path.join(folder, "report.md")
        write_document(os.path.join(folder, "diagnosis.json"), document)
        write_text(report, markdown(document, loaded, ruleset.problems))
        linked = options["link"] and point_latest(folder)
        self._say(screen(document, _shown(options["link"] if linked else folder), ruleset.problems, inventory_words()))
        status = 2 if ruleset.problems else exit_status(document, options["fail_on"])
        return {"changed": False, "exit_status": status, "summary": document["fleet"], "report": report, "mitigations": _mitigations(document),
                "peers": [] if saved else peers(document["hosts"], {row.host: row.document for row in loaded if row.document is not None})}

    @staticmethod
    def _say(text: str) -> None:
        callback = Display().display
        machine = _callback_name() not in _FOR_PEOPLE
        callback(text, stderr=machine)


def mapping(value: t.Any) -> t.Any:
    """Thresholds as a mapping; ``-e name={...}`` gives text that looks like one."""
    if isinstance(value, str):
        try:
            return _plain(check_type_dict(value))
        except TypeError:
            return value
    return _plain(value)


def _plain(value: t.Any) -> t.Any:
    """Inventory data without the types that Ansible adds to it."""
    if isinstance(value, t.Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return value


def _callback_name() -> str:
    """The name of the callback that has standard output, without its collection."""
    return str(getattr(constants, "DEFAULT_STDOUT_CALLBACK", "default")).rpartition(".")[2]


def _mitigations(document: dict[str, t.Any]) -> dict[str, dict[str, dict[str, str]]]:
    """By host and mitigation, the variables of the most pressing verdict that suggests it."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for host, row in document["hosts"].items():
        for verdict in row["verdicts"]:
            for item in verdict["mitigations"]:
                found.setdefault(host, {}).setdefault(item["id"], dict(item["variables"]))
    return found


def inventory_words() -> list[str]:
    """The run's own ``-i``, as an operator would type it; none where it was left to the configuration."""
    words: list[str] = []
    for given in context.CLIARGS.get("inventory") or ():
        near = os.path.relpath(given) if os.path.isabs(given) else given
        words += ["-i", visible(given if near.startswith("..") else near)]
    return words


def _shown(folder: str) -> str:
    """The report's path as an operator would type it: relative where it lies below the current folder."""
    path = os.path.join(folder, "report.md")
    near = os.path.relpath(path)
    return visible(path if near.startswith("..") else near)


def _bad_input(text: str) -> dict[str, t.Any]:
    """A failure that is the operator's to mend, in one line."""
    return {"failed": True, "changed": False, "exit_status": 2, "msg": clean(text, 1000)}
