# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hostile texts on real hosts: in processes, crontabs, journals of changes and the command of the very service that is changed."""

from __future__ import annotations

import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

import _fleet
import _report
from _common import LabError
from _fleet import DATA, Host
from _hostile import Facts, documents_clean, raw
from _play import Play
from _shapes import VARIABLES


def journal(number: int, values: dict[str, str]) -> list[dict[str, Any]]:
    """The lines of a change that was kept, with other texts in it."""
    when = {"at": "2026-01-01T00:00:00Z", "boot": "0", "boot_s": 1.0, "epoch_s": 1767225600.0 + number}
    head = dict(when, state="intent", incident="hostile-{0:03d}".format(number), mitigation="lower_workers", owner="a@b", run="x", reason="x", lifetime_s=None,
                service=DATA["service"], confirm_within_s=40.0, health={}, operations=[], python="/usr/bin/python3", reversible="fully", sequence=number + 1,
                version="0.1.0")
    head.update({key: value for key, value in values.items() if key in head})
    return [head, dict(when, state="confirmed", by=values["owner"], why=values["why"])]


def quoted(text: str) -> str:
    """A text as one word of a command of systemd's: between double quotes, with its escapes."""
    signs = []
    for sign in text:
        if sign in "\\\"":
            signs.append("\\" + sign)
        elif sign in "%$":
            signs.append(sign * 2)
        elif ord(sign) < 32 or ord(sign) == 127:
            signs.append("\\x{0:02x}".format(ord(sign)))
        else:
            signs.append(sign)
    return '"{0}"'.format("".join(signs))


def command(texts: list[str]) -> str:
    """The unit of a sick service whose command has every text that one can have."""
    words = " ".join("--env " + quoted("FLEET{0}={1}".format(number, text)) for number, text in enumerate(texts)
                     if "\0" not in text and not any(0xd800 <= ord(sign) < 0xe000 for sign in text))
    unit = next(row["text"] for row in DATA["files"] if row["path"].endswith(DATA["service"]))
    return unit.replace("{workers}", str(DATA["workers"]["sick"])).replace("--timeout 60", "--timeout 60 " + words)


def seen(what: str, play: Play, allowed: tuple[int, ...], facts: Facts, hosts: list[Host], words: str) -> dict[str, Any]:
    """One playbook has ended: what is wrong, and whether something hostile was on the screen at all."""
    wrong = [] if play.status in allowed else ["exit status {0}: {1}".format(play.status, play.said[-400:])]
    wrong += raw("standard output", play.raw.decode("utf-8", "surrogateescape"))
    wrong += documents_clean(play.reports / "latest") if (play.reports / "latest").exists() else []
    wrong += ["run on the controller: " + name for name in facts.ran()]
    wrong += ["run on {0}: {1}".format(host.name, name) for host in hosts for name in host.ask("ran", folder=str(facts.folder))["ran"]]
    wrong += [] if words in play.line else ["{0!r} is not on the screen, so nothing was tried: {1}".format(words, play.said[-300:])]
    row = {"name": what, "wrong": wrong[:8], "facts": len(facts.made), "said": "exit status {0}".format(play.status)}
    _report.note("hostile_live", row)
    return row


def part(hosts: list[Host], randomly: random.Random, fast: bool, folder: Path) -> list[dict[str, Any]]:
    """One host that tells hostile things, one whose sick service is hostile itself, and healthy ones."""
    sick = [host for host in hosts if host.sick]
    telling, changed = sick[0], sick[1]
    used = [telling, changed, *[host for host in hosts if not host.sick][:3]]
    own = folder / "hostile_live"
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir(parents=True)
    facts = Facts(Path(tempfile.gettempdir()) / "fleet-{0}".format(randomly.randrange(10 ** 6)))
    try:
        _fleet.ready(used)
        names = list(facts.data["texts"])
        texts = [facts.fact(name, "a process and a crontab") for name in names]
        rows = [journal(number, {key: facts.fact(name, "journal " + key) for key in facts.data["journal"]}) for number, name in enumerate(names)]
        telling.ask("plant", folder=str(facts.folder), texts=texts, journals=rows)
        changed.ask("write", files={str(facts.folder / "none"): None, "/etc/systemd/system/" + DATA["service"]:
                                    command([facts.fact(name, "the command of the service") for name in names])})
        changed.ask("plant", folder=str(facts.folder), texts=[], journals=[])
        changed.ask("restart")
        if changed.ask("workers")["workers"] != changed.workers:
            raise LabError("the service with the hostile command does not run")
        return _runs(facts, used, changed, own)
    finally:
        shutil.rmtree(facts.folder, ignore_errors=True)
        _fleet.each(used, "reset")


def _runs(facts: Facts, used: list[Host], changed: Host, own: Path) -> list[dict[str, Any]]:
    inventory = str(_fleet.inventory(own, used))
    planting = used[:2]
    asked = {key: value for key, value in VARIABLES.items() if key != "pressure_mode"}
    found = []
    for what, playbook, words, variables, allowed, said in (
        ("status", "status", ["-vvv"], {}, (0,), "hostile-"),
        ("plan", "remediate", ["-vvv"], {}, (0,), "lower_workers"),
        ("apply in check mode", "remediate", ["--check", "--diff"], {"pressure_mode": "apply"}, (0, 2), "lookup("),
        ("apply", "remediate", ["--diff", "-l", changed.name], {"pressure_mode": "apply"}, (0,), "lookup("),
        ("rollback", "rollback", ["--diff", "-l", changed.name], {}, (0,), "UNDONE"),
    ):
        play = Play(own / what.replace(" ", "-"), "oncall.pressure." + playbook, inventory, *words, variables=dict(asked, **variables))
        play.wait()
        found.append(seen("live: " + what, play, allowed, facts, planting, said))
    workers = changed.ask("workers")["workers"]
    if workers != changed.workers:
        found[-1]["wrong"].append("{0} workers after the rollback".format(workers))
    return found
