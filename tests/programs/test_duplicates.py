# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real celery schedulers and workers, started by hand: two schedulers of one application are seen, one and another application's are not."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._components import _snapshot
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options, run_all
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.plugin_utils import _rules, _verdict

ROOT = Path(__file__).resolve().parents[2]
RULES = _rules.load_rules(str(ROOT / "roles" / "diagnose" / "files" / "rules")).rules
THRESHOLDS = _rules.resolve_thresholds(RULES, None)
APPLICATION = "import celery\napp = celery.Celery('shop', broker='memory://', backend='cache+memory://')\n"

Start = t.Callable[..., "subprocess.Popen[bytes]"]


class Alone(Machine):
    """This machine, as if only some processes ran on it."""

    def __init__(self) -> None:
        super().__init__()
        self.pids: t.List[int] = []

    def names(self, path: str) -> t.List[str]:
        return [str(pid) for pid in [1] + self.pids] if path == "/proc" else super().names(path)


@pytest.fixture
def host() -> Alone:
    """A machine on which only what is started here runs."""
    return Alone()


@pytest.fixture
def start(tmp_path: Path, host: Alone) -> t.Iterator[Start]:
    """Starts celery with some words, in a folder; each in a session of its own, so that it is nobody's child."""
    begun: t.List[subprocess.Popen[bytes]] = []

    def begin(folder: str, *words: str) -> subprocess.Popen[bytes]:
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        (place / "shop.py").write_text(APPLICATION, encoding="utf-8")
        with open(str(place / "log"), "ab") as log:
            process = subprocess.Popen([sys.executable, "-m", "celery", "-A", "shop"] + list(words), cwd=str(place), stdout=log, stderr=log,
                                       env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1"), start_new_session=True)
        begun.append(process)
        host.pids.append(process.pid)
        end = time.monotonic() + 60
        while not any(words in (place / "log").read_bytes() for words in (b"beat: Starting", b"beat v", b" ready.")):
            assert process.poll() is None and time.monotonic() < end, (place / "log").read_text(encoding="utf-8")
            time.sleep(0.1)
        return process

    yield begin
    for process in begun:
        process.terminate()
    for process in begun:
        process.wait()


def fired(host: Alone) -> t.Tuple[t.List[t.Dict[str, t.Any]], t.List[t.Dict[str, t.Any]]]:
    """What the two rules say of it, and the services."""
    rows = run_all({name: _snapshot.COLLECTORS[name] for name in ("services", "units")}, host, Options(window_s=0.2), 30.0).rows
    services = _snapshot.join(rows["services"]["data"]["services"], rows["units"]["data"] or {})
    some = {name: rule for name, rule in RULES.items() if name in ("celery.two_schedulers", "queue.duplicate_consumers")}
    document = {"schema": 1, "collectors": {name: {key: row[key] for key in ("status", "reason")} for name, row in rows.items()}, "services": services}
    return _verdict.judge(document, some, THRESHOLDS)["verdicts"], services


def beats(services: t.Sequence[t.Dict[str, t.Any]]) -> t.List[t.Dict[str, t.Any]]:
    return [row for row in services if row["component"] == "celery" and ((row["settings"] or {}).get("identity") or {}).get("beat")]


def test_two_schedulers_of_one_application_are_seen(start: Start, host: Alone) -> None:
    first = start("shop", "beat", "-s", "one.db", "--pidfile", "")
    start("other", "beat", "-s", "one.db", "--pidfile", "")
    verdicts, services = fired(host)
    if len(beats(services)) != 2:
        pytest.skip("they are one service here: %s" % [(row["id"], row["component"]) for row in services])
    assert verdicts == [] and {row["settings"]["identity"]["app"] for row in beats(services)} == {"shop"}
    # a worker that schedules too, from the same folder as the first
    start("shop", "worker", "-B", "-s", "two.db", "-P", "solo", "--without-mingle", "--without-gossip", "--without-heartbeat")
    verdicts, services = fired(host)
    assert [row["rule"] for row in verdicts] == ["celery.two_schedulers"], services
    assert str(first.pid) in verdicts[0]["summary"] and len(beats(services)) == 3
