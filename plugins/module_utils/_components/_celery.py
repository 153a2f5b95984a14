# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The settings of a celery worker: command line, then a configuration module's plain values, then defaults.

Private to oncall.pressure: no stable interface. Read-only; neither the configuration nor the application is run. What the
application sets for itself is not known, and said to be so: the number of processes that run is the fact.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._components import _settings
from ansible_collections.oncall.pressure.plugins.module_utils._components._settings import Launch, Row
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _broker_url, _python_literals

#: by setting: the names of celery 4 and later, then the old ones
_KEYS = {
    "workers": ("worker_concurrency", "CELERYD_CONCURRENCY"), "worker_class": ("worker_pool", "CELERYD_POOL"),
    "max_tasks_per_child": ("worker_max_tasks_per_child", "CELERYD_MAX_TASKS_PER_CHILD"),
    "max_memory_per_child_kib": ("worker_max_memory_per_child", "CELERYD_MAX_MEMORY_PER_CHILD"), "autoscale": (), "queues": (),
}
_DEFAULTS: dict[str, tuple[t.Any, str | None]] = {
    "workers": (None, "as many as CPUs"), "worker_class": ("prefork", None), "max_tasks_per_child": (None, "not limited"),
    "max_memory_per_child_kib": (None, "not limited"), "autoscale": (None, "off"), "queues": (["celery"], None),
}
_APPLICATION = "unless the application sets it for itself"


def settings(launch: Launch, machine: Machine) -> dict[str, t.Any]:
    """The settings of a celery worker as the document has them."""
    found = _settings.empty("celery")
    found["version"] = _settings.version(machine, launch, "celery")
    if launch.command.subcommand == "flower":
        found["bind"] = _settings.on_command_line(launch, "bind")
        return found
    path, literals, reason = _configuration(launch, machine)
    broker = _broker(launch, path, literals, reason)
    # where nobody names it, a worker is called after its host
    found["identity"] = _settings.identity(launch, broker["value"], "celery@%h" if launch.command.subcommand == "worker" else None)
    if launch.command.subcommand == "beat":
        found["bind"] = _settings.on_command_line(launch, "bind")
        return found
    for name in _KEYS:
        row = _settings.on_command_line(launch, name)
        if row is None:
            row = _elsewhere(name, path, literals, reason, machine)
            hidden = _settings.hidden(launch)
            if hidden is not None:
                row = _settings.row(None, row["layer"], row["where"], hidden)
        found[name] = row
    found["broker"] = _placed(broker)
    if found["worker_class"]["value"] == "solo":
        found["workers"] = dict(found["workers"], value=1, reason="the pool solo runs one")
    elif found["autoscale"]["value"]:
        found["workers"] = _autoscaled(found["workers"], found["autoscale"])
    return found


def _elsewhere(name: str, path: str, literals: t.Mapping[str, _python_literals.Literal] | None, reason: str | None, machine: Machine) -> Row:
    """A setting that the command line does not have."""
    if literals is not None:
        row = _settings.from_literals(literals, _KEYS[name], name, path)
        if row is not None:
            return row
    elif reason is not None and _KEYS[name]:
        return _settings.row(None, "config_file", path or None, reason)
    value, why = _DEFAULTS[name]
    if name == "workers":
        value = _cpus(machine)
    return _settings.default(value, ", ".join(part for part in (why, _APPLICATION if _KEYS[name] or name == "queues" else None) if part) or None)


def _broker(launch: Launch, path: str, literals: t.Mapping[str, _python_literals.Literal] | None, reason: str | None) -> Row:
    """The URL of its broker as it stands, with its password: the command, then its variables, then the configuration, as celery itself goes by them."""
    row = _settings.on_command_line(launch, "broker")
    for variable in ("CELERY_BROKER_URL", "BROKER_URL"):
        row = row or _settings.from_environment(launch, variable, "broker")
    if row is None and literals is not None:
        row = _settings.from_literals(literals, ("broker_read_url", "broker_url", "BROKER_URL", "CELERY_BROKER_URL"), "broker", path)
    if row is None:
        return _settings.row(None, "config_file", path or None, reason) if literals is None and reason else _settings.default(None, _APPLICATION)
    value = row["value"][0] if isinstance(row["value"], list) and row["value"] else row["value"]
    return dict(row, value=value if isinstance(value, str) else None)


def _placed(broker: Row) -> Row:
    """Where its queues are, without what lets one in."""
    if broker["value"] is None:
        return broker
    place = _broker_url.place(broker["value"])
    return dict(broker, value=place, reason=broker["reason"] if place is not None else "no URL of a broker that is known")


def _autoscaled(workers: Row, autoscale: Row) -> Row:
    """With autoscale the most processes there can be stand for the count."""
    most = str(autoscale["value"]).partition(",")[0]
    return dict(autoscale, value=int(most), reason="the most that autoscale allows") if most.isdecimal() else workers


def _configuration(launch: Launch, machine: Machine) -> tuple[str, dict[str, _python_literals.Literal] | None, str | None]:
    """The module of ``--config`` or CELERY_CONFIG_MODULE, else celeryconfig.py in the service's folder, as (path, plain values, why not)."""
    setting = launch.command.settings.get("config")
    variable = (launch.environment or {}).get("CELERY_CONFIG_MODULE")
    named = setting is not None or variable is not None
    module = setting.text if setting is not None else variable.value if variable is not None else "celeryconfig"
    if setting is not None and setting.unresolved:
        return "", None, "the configuration is unresolved: " + ",".join(setting.unresolved)
    changed = launch.command.settings.get("chdir")
    here = launch._replace(directory=changed.text) if changed is not None and changed.text.startswith("/") else launch
    path = _settings.absolute(here, module.replace(".", "/") + ".py")
    if path is None or not machine.exists(path):
        return "", None if named else {}, "the configuration %s is not found" % module if named else None
    found, reason = _settings.literals(machine, path)
    return path, found, None if reason is None else "%s: %s" % (path, reason)


def _cpus(machine: Machine) -> int | None:
    """What celery counts where nobody tells it a number: every CPU of the machine, whatever its quota."""
    total = 0
    for part in (machine.text_or_none("/sys/devices/system/cpu/online") or "").strip().split(","):
        first, dummy, last = part.partition("-")
        if not first.isdecimal():
            return None
        total += int(last or first) - int(first) + 1
    return total or None
