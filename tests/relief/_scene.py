# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One case while it is played: its host, what looks at it, what the playbooks did, and what was found wrong."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import _hosts
import _machine_host
import _judge
import _measure
from _causes import Host
from _common import LabError
from _measure import Looker
from _play import Play

# How long a rolled back service may take to have its former number, and for how long that is then looked at.
BACK_S = 60.0
LOOKED_S = 5.0


class Scene:
    """Figures are filled as the case goes on; `wrong` holds one line for each claim that does not hold."""

    def __init__(self, name: str, host: str, folder: Path, inventory: Path) -> None:
        self.name = name
        self.host = host
        self.on = Host(host)
        self.folder = folder
        self.inventory = inventory
        self.figures: dict[str, Any] = {}
        self.wrong: list[str] = []
        self.service = ""
        self.files: dict[str, Any] = {}
        self.watcher: Looker | None = None
        self.prober: Looker | None = None
        self.plays: list[Play] = []

    # What is looked at

    def watch(self, unit: str, match: str, kind: str = "workers", service: str = "") -> None:
        self.service = service or unit
        ahead_s = _machine_host.clock() if self.host == _machine_host.NAME else 0.0
        self.watcher = Looker(self.host, "watch", "watch.py", unit, kind, match, ahead_s=ahead_s)

    def probe(self, path: str, port: int, at: str = "") -> None:
        """From another host of the lab, through nginx."""
        self.prober = Looker(_hosts.PROBER, "probe-" + self.host, "probe.py", "http://{0}:{1}{2}".format(at or self.host, port, path))

    def begin(self, quiet_s: float = 5.0) -> None:
        """Everything is caused: what the files are now is what a rollback has to bring back."""
        self.note()
        time.sleep(quiet_s)
        self.figures["workers_before"] = max(look["workers"] for look in self.looks()[-20:])

    def note(self) -> None:
        """The files as they are; and, since the machine is shared, how busy it was: that belongs to every figure of time."""
        self.files = _measure.listing(self.on)
        self.figures["load_average"] = float(Path("/proc/loadavg").read_text(encoding="ascii").split()[0])

    def looks(self) -> list[dict[str, Any]]:
        return self.watcher.rows() if self.watcher else []

    def probes(self) -> list[dict[str, Any]]:
        return self.prober.rows() if self.prober else []

    def end(self) -> None:
        for looker in (self.watcher, self.prober):
            if looker:
                looker.stop()

    # What the operator does

    def start(self, playbook: str, **variables: Any) -> Play:
        play = Play(self.folder, self.inventory, playbook, self.host, {"pressure_" + name: value for name, value in variables.items()})
        self.plays.append(play)
        return play

    def play(self, playbook: str, expected: int = 0, **variables: Any) -> Play:
        play = self.start(playbook, **variables)
        status = play.wait()
        self.figures.setdefault("playbook_s", {})[playbook] = round((play.ended or 0) - play.started, 1)
        self.claim(status == expected, "{0} ended with status {1}, not {2}: {3}".format(playbook, status, expected, play.printed.strip()[-300:]))
        return play

    def diagnose(self, **variables: Any) -> dict[str, Any]:
        """The host's row of the diagnosis; the document itself stays at `earlier`."""
        # a machine that others use too makes collectors slow, and what is not measured is no verdict
        self.play("diagnose", timeout=45, **variables)
        return json.loads(self.latest().read_text(encoding="utf-8"))["hosts"][self.host]

    def latest(self) -> Path:
        return self.folder / "reports" / "latest" / "diagnosis.json"

    def advised(self, row: dict[str, Any], rule: str, mitigation: str) -> dict[str, str]:
        """The variables with which a verdict names a playbook, without the prefix; {} where it does not."""
        verdict = next((verdict for verdict in row["verdicts"] if verdict["rule"] == rule), {"mitigations": []})
        found = next((item["variables"] for item in verdict["mitigations"] if item["id"] == mitigation), None)
        self.figures["first_verdict"] = row["verdicts"][0]["rule"] if row["verdicts"] else None
        if found is None:
            raise LabError("no verdict {0} names {1}: {2}".format(rule, mitigation, [one["rule"] for one in row["verdicts"]] or row["reason"]))
        return {name.partition("_")[2]: value for name, value in found.items()}

    def cleared(self) -> None:
        """A second look, held against the first, finds nothing: below the leave of every threshold that was met."""
        row = self.diagnose(earlier=str(self.latest()))
        self.figures["second_look"] = row["state"]
        said = [verdict["summary"] for verdict in row["verdicts"]] or row["reason"]
        self.claim(row["state"] == "healthy", "the second look says {0}: {1}".format(row["state"], said))

    def lower(self, **variables: Any) -> Play:
        return self.play("lower_workers", service=self.service, **variables)

    # What must be true

    def claim(self, holds: bool, otherwise: str) -> bool:
        if not holds:
            self.wrong.append(otherwise)
        return holds

    def says(self, play: Play, words: str) -> None:
        """On one line or on several."""
        self.claim(words in " ".join(play.printed.split()), "the playbook does not say {0!r}".format(words))

    def no_failure(self, start: float, what: str, end: float = float("inf")) -> None:
        probes = _measure.between(self.probes(), start, end)
        failed = _measure.failed(probes)
        self.figures.update({"probes_" + what: len(probes), "failed_" + what: len(failed)})
        self.figures.setdefault("answers", {})[what] = _measure.slow(probes)
        self.claim(bool(probes), "no probe {0}".format(what))
        self.claim(not failed, "{0} of {1} probes failed {2}: {3}".format(len(failed), len(probes), what, failed[:3]))

    def kills_stop(self, play: Play, within_s: float = 60.0) -> None:
        """Kills before the playbook was started, none from `within_s` after that on. Call it late enough."""
        kills = _judge.kill_times(self.looks())
        early = [moment for moment in kills if moment < play.started]
        during = [moment for moment in kills if moment >= play.started]
        last_s = max(during) - play.started if during else 0.0
        looked_s = time.monotonic() - play.started
        self.figures.update(kills_before=len(early), kills_after_start=len(during), last_kill_after_s=round(last_s, 1), looked_for_s=round(looked_s, 1))
        self.claim(bool(early), "the kernel killed nothing before the playbook was started: no incident")
        self.claim(last_s <= within_s, "still killed {0:.0f} s after the playbook was started".format(last_s))
        self.claim(looked_s >= within_s + 30, "looked for {0:.0f} s only".format(looked_s))

    def lowered(self, play: Play, to: int | None = None) -> float | None:
        """The moment from which on there were no more workers than the product said."""
        target = to if to is not None else play.target(self.host)
        self.figures["workers_target"] = target
        if target is None:
            self.claim(False, "the playbook says no number of workers: " + play.printed.strip()[-300:])
            return None
        since = _measure.first_at_most(self.looks(), target, play.started)
        self.figures["lowered_after_s"] = None if since is None else round(since - play.started, 1)
        self.claim(since is not None, "never down to {0} workers".format(target))
        return since

    def not_by_the_action(self, play: Play, lowered: float | None) -> None:
        """Probes that failed while the playbook ran, without those that the kernel's kills account for; none from the lowering on."""
        looks = self.looks()
        kills = _judge.kill_times(looks)
        before = _measure.failed(_measure.between(self.probes(), 0, play.started))
        self.figures["failed_before"] = len(before)
        self.figures["probes_before"] = len(_measure.between(self.probes(), 0, play.started))
        if lowered is None:
            return
        meanwhile = _measure.failed(_measure.between(self.probes(), play.started, lowered))
        unexplained = [probe for probe in meanwhile if not _measure.of_kills(probe, kills)]
        self.figures.update(failed_while_lowering=len(meanwhile), of_these_not_by_kills=len(unexplained))
        self.claim(not unexplained, "{0} probes failed while workers were lowered that no kill accounts for: {1}".format(len(unexplained), unexplained[:3]))
        self.no_failure(lowered, "after_lowering")

    def old(self, former: int | None = None, what: str = "rollback") -> None:
        """The former number of workers, never more, and every file as it was."""
        former = self.figures["workers_before"] if former is None else former
        started = time.monotonic()
        try:
            took = _measure.until(lambda: self._last_workers() == former, BACK_S, "{0} workers again after {1}".format(former, what))
            self.figures["former_count_after_s"] = round(took, 1)
        except LabError as problem:
            self.wrong.append(str(problem))
        time.sleep(LOOKED_S)
        counts = [look["workers"] for look in _measure.between(self.looks(), started, float("inf"))]
        self.figures["workers_after"] = max(counts[-20:] or [0])
        self.claim(max(counts or [0]) <= former, "{0} workers after {1}, more than the {2} before".format(max(counts or [0]), what, former))
        self.claim(self.figures["workers_after"] == former, "{0} workers after {1}, {2} before".format(self.figures["workers_after"], what, former))
        self.same_files(what)

    def _last_workers(self) -> int | None:
        return self.watcher.last().get("workers") if self.watcher else None

    def same_files(self, what: str) -> None:
        paths = _measure.different(self.files, _measure.listing(self.on))
        self.figures["files_compared"] = len(self.files)
        self.figures["files_different"] = len(paths)
        self.claim(not paths, "not as before after {0}: {1}".format(what, ", ".join(paths[:5])))

    def changed_files(self) -> list[str]:
        return _measure.different(self.files, _measure.listing(self.on))

    def rollback(self) -> None:
        started = time.monotonic()
        play = self.play("rollback")
        self.claim("UNDONE" in play.printed, "rollback does not say UNDONE: " + play.printed.strip()[-300:])
        self.old()
        if self.prober:
            failed = _measure.failed(_measure.between(self.probes(), started, time.monotonic()))
            self.figures["failed_in_rollback"] = len(failed)
