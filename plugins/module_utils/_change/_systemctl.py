# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask and tell systemd, by its own client.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Failed
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean, decode


def present(machine: Machine) -> bool:
    """Whether systemd runs this host."""
    return machine.exists("/run/systemd/system")


def call(machine: Machine, words: t.Sequence[str], timeout_s: float, environment: dict[str, str] | None = None) -> str:
    """What ``systemctl WORDS`` prints. Raises Failed; success only means that systemd took the order."""
    try:
        outcome = machine.run(["systemctl", "--no-pager", "--no-ask-password"] + list(words), timeout_s, environment=environment)
    except FileNotFoundError as problem:
        raise Failed("there is no systemctl on this host") from problem
    except OSError as problem:
        # no memory for one more process, mostly
        raise Failed("systemctl could not be started: %s" % problem) from problem
    told = "systemctl " + " ".join(words)
    if outcome.timed_out:
        raise Failed("%s did not end within %g s" % (clean(told, 200), timeout_s))
    if outcome.status != 0:
        raise Failed("%s: %s" % (clean(told, 200), clean(decode(outcome.err).strip().split("\n")[0], 300) or "status %s" % outcome.status))
    return decode(outcome.out)


def show(machine: Machine, unit: str, names: t.Sequence[str], environment: dict[str, str] | None = None) -> dict[str, str]:
    """Properties of a unit, "" for one that this systemd does not have; ``environment``: what is printed depends on, as a time on its zone. Raises Failed."""
    text = call(machine, ["show", "--property=" + ",".join(names), "--", unit], 20.0, environment)
    found = dict.fromkeys(names, "")
    for line in text.split("\n"):
        key, separator, value = line.partition("=")
        if separator and key in found:
            found[key] = value
    return found


def runs(machine: Machine, unit: str) -> bool:
    """Whether a unit is active, or on its way to it. Raises Failed."""
    return show(machine, unit, ("ActiveState",))["ActiveState"] in ("active", "activating", "reloading")
