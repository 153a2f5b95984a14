# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plan on the controller what would be done about the diagnosis of this run, write it down and say it."""

from __future__ import annotations

import json
import os
import re
import time
import typing as t

from ansible import context
from ansible.errors import AnsibleError
from ansible.parsing.splitter import parse_kv
from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars

from ansible_collections.oncall.pressure.plugins.action.diagnose import inventory_words
from ansible_collections.oncall.pressure.plugins.action.remediation_gate import say
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean, visible
from ansible_collections.oncall.pressure.plugins.action.incident import main_process
from ansible_collections.oncall.pressure.plugins.plugin_utils import _plan_text, _run
from ansible_collections.oncall.pressure.plugins.plugin_utils._documents import BadDocument, read_document, read_snapshots, write_document
from ansible_collections.oncall.pressure.plugins.plugin_utils._ladder import Ceilings, Declared, read_ceilings
from ansible_collections.oncall.pressure.plugins.plugin_utils._located import BadFile
from ansible_collections.oncall.pressure.plugins.plugin_utils._mitigations import load_mitigations
from ansible_collections.oncall.pressure.plugins.plugin_utils._plan import Asked, Planned, plan
from ansible_collections.oncall.pressure.plugins.plugin_utils._plan_file import BadPlan, read_plan
from ansible_collections.oncall.pressure.plugins.plugin_utils._plan_given import plan_again
from ansible_collections.oncall.pressure.plugins.plugin_utils._values import plain

#: Variables that make a plan, and are not said by the command that carries it out itself.
_OURS = re.compile(r"pressure_(?!mode$|plan$|snapshots$|postgres_dsn$)[a-z_]+")

#: What a step decides itself (roles/remediate/tasks/step.yml), for each mitigation's role: a variable given with -e would beat it.
DECIDED: t.Final = frozenset({"all", "basis", "client", "confirm", "confirm_within", "job", "match", "mode", "path", "reason", "service", "services"})

_ROLES = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "roles")

_SPEC: t.Final[dict[str, t.Any]] = {
    "report_dir": {"type": "path", "required": True},
    "plan": {"type": "str", "default": ""},
    "snapshots": {"type": "str", "default": ""},
    "mode": {"type": "str", "choices": ["plan", "apply"], "default": "plan"},
    "link": {"type": "path"},
    "hosts": {"type": "list", "elements": "str", "default": []},
    "changes": {"type": "dict", "default": {}},
    "ceilings": {"type": "dict", "default": {}},
    "max_hosts": {"type": "int", "default": 10},
    "majority": {"type": "float", "default": 0.5},
    "ignore_majority": {"type": "bool", "default": False},
    "recurrence_window": {"type": "float", "default": 21600.0},
}


class ActionModule(ActionBase):
    """Reads diagnosis.json and snapshots of a run, writes plan.json beside them, prints it. Touches no host."""

    _requires_connection = False
    _supports_check_mode = True
    _supports_async = False
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Returns ``exit_status``, the hosts to change under ``act``, how many are held under ``held``, ``left`` and the plan's ``path``.

        The names are the inventory's own, what hosts said stands in the reasons of ``left`` alone, made harmless.
        """
        super().run(tmp, task_vars)
        dummy, options = self.validate_argument_spec(argument_spec=_SPEC)
        try:
            return self._plan(options)
        except (BadFile, BadPlan, BadDocument) as problem:
            return _bad_input(str(problem))
        except OSError as problem:
            return _bad_input("%s: %s" % (problem.filename or options["report_dir"], problem.strerror))

    def _plan(self, options: dict[str, t.Any]) -> dict[str, t.Any]:
        folder = options["report_dir"]
        saved = os.path.expanduser(options["snapshots"])
        if saved and options["mode"] == "apply":
            return _bad_input("saved snapshots can be planned for, not changed: leave pressure_snapshots out")
        for name in ("majority", "recurrence_window", "max_hosts"):
            if not options[name] >= 0:
                return _bad_input("pressure_%s must not be below zero" % name)
        declared = load_mitigations(_ROLES)
        forced = sorted(name for name in load_extra_vars(self._loader) for role in declared if name in {"%s_%s" % (role, word) for word in DECIDED})
        if forced:
            return _bad_input("%s: given with -e it beats what a step decides and sees to; leave it out, or run the playbook of that mitigation" % forced[0])
        names = {clean(host): host for host in options["hosts"]}
        if len(names) < len(set(options["hosts"])):
            return _bad_input("two hosts of this run cannot be told apart by their names")
        try:
            ceilings = _ceilings(options["ceilings"], declared)
        except ValueError as problem:
            return _bad_input(str(problem))
        asked = Asked(
            {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "run": _run.run_id(main_process() or os.getpid()), "owner": _run.owner()},
            None if saved else list(names),
            {clean(str(host)): _plain(row) if isinstance(row, t.Mapping) else {} for host, row in options["changes"].items()},
            ceilings, options["max_hosts"], options["majority"], options["ignore_majority"], options["recurrence_window"], inventory_words(),
        )
        planned = _made(folder, saved, options["plan"], declared, asked)
        path = os.path.join(folder, "plan.json")
        write_document(path, planned.document)
        linked = options["link"] and os.path.realpath(options["link"]) == os.path.realpath(folder)
        shown = _plan_text.Shown(
            _near(os.path.join(options["link"] if linked else folder, "plan.json")), "" if saved else _near(path), asked.inventory,
            options["mode"] == "apply",
            again(context.CLIARGS.get("subset"), context.CLIARGS.get("extra_vars") or ()))
        say(_plan_text.said(planned.document, planned.notes, shown))
        acting = [host for host, row in planned.document["hosts"].items() if row["act"]]
        left = {names[host]: clean(why, 500) for host, why in planned.left.items() if host in names}
        return {
            "changed": False, "exit_status": 0, "path": path, "held": planned.document["fleet"]["held"],
            "act": [names[host] for host in acting if host in names], "left": left,
        }


def _made(folder: str, saved: str, given: str, declared: Declared, asked: Asked) -> Planned:
    """The plan, afresh or of a file. Raises BadPlan, BadDocument, OSError."""
    # before anything else: a mistake in it is the person's who waits
    path, said = _file(given, folder) if given else ("", [])
    wanted = read_plan(path, declared) if given else None
    diagnosis = read_document(os.path.join(folder, "diagnosis.json"))
    if not isinstance(diagnosis.get("hosts"), dict):
        raise BadDocument("%s: it is no diagnosis" % os.path.join(folder, "diagnosis.json"))
    snapshots = {row.host: row.document for row in read_snapshots(saved or folder) if row.document is not None}
    if saved:
        # a saved snapshot may be of a host that is not in the play: what all hosts of the play go by counts for it too
        rows = list(asked.ceilings.values())
        shared = {host: rows[0] for host in snapshots} if rows and all(row == rows[0] for row in rows) else {}
        asked = asked._replace(ceilings={**shared, **asked.ceilings})
    if wanted is not None:
        planned = plan_again(wanted, diagnosis, snapshots, declared, asked)
        return planned._replace(notes=[*said, *planned.notes])
    return plan(diagnosis, snapshots, declared, asked)


def _file(given: str, folder: str) -> tuple[str, list[str]]:
    """The path of a plan, and a line about it where it was named by the link ``latest``: that pointed to the run before this one when this one began.

    Raises BadPlan where that run made no plan, OSError.
    """
    path = os.path.expanduser(given)
    if os.path.realpath(path) != os.path.realpath(os.path.join(folder, "plan.json")):
        return path, []
    base, own = os.path.split(os.path.abspath(folder))
    runs = [os.path.join(base, name) for name in sorted(os.listdir(base)) if name < own and not os.path.islink(os.path.join(base, name))]
    # the link is set when a run has its diagnosis
    before = [run for run in runs if os.path.isfile(os.path.join(run, "diagnosis.json"))]
    plans = [os.path.join(run, "plan.json") for run in runs if os.path.isfile(os.path.join(run, "plan.json"))]
    if before and os.path.join(before[-1], "plan.json") in plans:
        return plans[-1], ["%s was %s when this run began" % (given, _near(plans[-1]))]
    newest = ", the newest plan is %s" % _near(plans[-1]) if plans else ""
    raise BadPlan("%s: the run before this one made no plan%s" % (given, newest))


def _ceilings(given: t.Mapping[str, t.Any], declared: Declared) -> dict[str, Ceilings]:
    """The ceilings of each host. Raises ValueError."""
    found: dict[str, Ceilings] = {}
    for host, row in given.items():
        name = clean(str(host))
        if not isinstance(row, t.Mapping):
            raise ValueError("the ceilings of %s must be a mapping" % name)
        try:
            found[name] = read_ceilings(_plain(row), declared)
        except ValueError as problem:
            raise ValueError("%s (of %s)" % (problem, name)) from None
    return found


def _plain(value: t.Any) -> t.Any:
    """Data without the types that Ansible adds to it."""
    if isinstance(value, t.Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, str) else value


def again(subset: str | None, extra: t.Iterable[str]) -> list[str]:
    """What a run was given that carrying out its plan needs again: the hosts that it was limited to, and variables of this collection.

    Other variables are left out: they may be secrets, and no plan depends on them.
    """
    words = ["-l", visible(subset)] if subset else []
    for given in extra:
        if given.startswith("@"):
            words += ["-e", "@" + _near(given[1:])]
            continue
        try:
            pairs = parse_kv(given) if given[:1] not in ("{", "[") else json.loads(given)
        except (ValueError, AnsibleError):
            continue
        kept = {name: value for name, value in pairs.items() if _OURS.fullmatch(name)} if isinstance(pairs, dict) else {}
        said = ["%s=%s" % (name, value) if plain(value) else json.dumps({name: value}) for name, value in sorted(kept.items())]
        # what looks like a secret is not said to a screen that may be recorded
        words += [word for text in said if clean(text, 4096) == text for word in ("-e", text)]
    return words


def _near(path: str) -> str:
    """A path as an operator would type it: relative where it lies below the current folder."""
    near = os.path.relpath(path)
    return visible(os.path.abspath(path) if near.startswith("..") else near)


def _bad_input(text: str) -> dict[str, t.Any]:
    """A failure that is the operator's to mend, in one line."""
    return {"failed": True, "changed": False, "exit_status": 2, "act": [], "left": {}, "held": 0, "msg": clean(text, 1000)}
