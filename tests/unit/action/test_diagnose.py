# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The diagnose playbook, really run, over saved snapshots: exit status, where it speaks, what it writes."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest

ROOT = Path(__file__).resolve().parents[3]
TOOL = Path(sys.executable).parent / "ansible-playbook"

pytestmark = pytest.mark.skipif(not TOOL.exists(), reason="it runs ansible-playbook, and there is none beside this Python")

_SPEC = importlib.util.spec_from_file_location("pressure_action_support", ROOT / "tests" / "unit" / "rules" / "support.py")
assert _SPEC is not None and _SPEC.loader is not None
support = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(support)

SICK = support.load("hosts.yml")[0]


def saved(folder: Path, **documents: Dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, document in documents.items():
        (folder / (name + ".json")).write_text(json.dumps(dict(document, name=name)), encoding="utf-8")
    return folder


def play(tmp_path: Path, snapshots: Path, *words: str, callback: str = "default") -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    collections = next(path for path in sys.path if (Path(path) / "ansible_collections" / "oncall" / "pressure").exists())
    environment.update(ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), ANSIBLE_COLLECTIONS_PATH=collections, LC_ALL="C.UTF-8", ANSIBLE_STDOUT_CALLBACK=callback)
    variables = json.dumps({"pressure_report_dir": str(tmp_path / "reports"), "pressure_snapshots": str(snapshots)})
    command: List[str] = [str(TOOL), str(ROOT / "playbooks" / "diagnose.yml"), "-i", "localhost,", "-c", "local", "-e", variables, *words]
    return subprocess.run(command, cwd=str(tmp_path), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, timeout=300)


def test_verdicts_on_the_screen_and_documents_for_their_owner(tmp_path: Path) -> None:
    done = play(tmp_path, saved(tmp_path / "saved", web1=support.snapshot(SICK), web2=support.snapshot({})))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "web1  MEMORY  shop-web.service (gunicorn)   cause: concurrency   confidence: high\n" in done.stdout
    assert "2 hosts: 1 healthy, 1 memory.   report: reports/latest/report.md\n" in done.stdout
    latest = tmp_path / "reports" / "latest"
    assert json.loads((latest / "diagnosis.json").read_text())["fleet"]["incident"] == 1
    assert [stat.S_IMODE((latest / name).stat().st_mode) for name in (".", "diagnosis.json", "report.md")] == [0o700, 0o600, 0o600]


def test_a_replay_of_a_report_gives_the_same_answer(tmp_path: Path) -> None:
    first = saved(tmp_path / "saved", web1=support.snapshot(SICK))
    answers = []
    for words in ((), ("--check", "--diff")):
        assert play(tmp_path, first, *words).returncode == 0
        answers.append((tmp_path / "reports" / "latest" / "diagnosis.json").read_bytes())
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    "document,variables,status",
    [
        ("sick", {"pressure_fail_on": ["incident"]}, 3),
        ("sick", {"pressure_fail_on": "incident"}, 3),
        ("sick", {"pressure_fail_on": ["unknown"]}, 0),
        ("well", {"pressure_fail_on": ["incident", "unknown"]}, 0),
        ("gone", {"pressure_fail_on": ["incident"]}, 4),
        ("well", {"pressure_thresholds": {"host.iowait": {"iowait_pct": "much"}}}, 2),
        ("well", {"pressure_thresholds": {"no_such": 3}}, 2),
        ("well", {"pressure_rules_dirs": ["/nonexistent/rules"]}, 2),
        ("well", {"pressure_fail_on": ["fire"]}, 2),
    ],
)
def test_exit_status(tmp_path: Path, document: str, variables: Dict[str, Any], status: int) -> None:
    known = {"sick": support.snapshot(SICK), "well": support.snapshot({}), "gone": {"schema": 1, "unreached": "it does not answer"}}
    done = play(tmp_path, saved(tmp_path / "saved", web1=known[document]), "-e", json.dumps(variables))
    assert done.returncode == status, done.stdout + done.stderr


def test_a_broken_rule_of_the_users_is_named_and_the_rest_is_said(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "mine.yml").write_text("- id: mine.one\n  wieght: 3\n")
    done = play(tmp_path, saved(tmp_path / "saved", web1=support.snapshot(SICK)), "-e", json.dumps({"pressure_rules_dirs": [str(tmp_path / "rules")]}))
    assert done.returncode == 2 and "mine.yml:2: unknown word wieght" in done.stdout and "1 host: 1 memory." in done.stdout


def test_standard_output_that_belongs_to_a_machine_is_left_to_it(tmp_path: Path) -> None:
    done = play(tmp_path, saved(tmp_path / "saved", web1=support.snapshot(SICK)), callback="ansible.posix.json")
    if "ansible.posix" in done.stderr and "1 host" not in done.stderr:
        pytest.skip("the callback ansible.posix.json is not installed here: it comes with the package ansible")
    json.loads(done.stdout)
    assert "MEMORY  shop-web.service" in done.stderr and "1 host: 1 memory." in done.stderr


def test_what_a_host_says_is_neither_templated_nor_shown_raw(tmp_path: Path) -> None:
    mark = tmp_path / "templated"
    evil = "\x1b[2Jshop-{{ lookup('pipe', 'touch %s') }}-postgres://u:hunter2secret@db/x-\u202e.service" % mark
    text = json.dumps(support.snapshot(SICK)).replace("shop-web.service", json.dumps(evil)[1:-1])
    done = play(tmp_path, saved(tmp_path / "saved", web1=json.loads(text)), "-vvvv")
    assert done.returncode == 0 and "MEMORY  \\x1b[2Jshop-{{ lookup(" in done.stdout, done.stdout[-3000:]
    assert not mark.exists()
    written = [path.read_text() for path in (tmp_path / "reports").rglob("*") if path.is_file()]
    assert len(written) == 2
    for said in (done.stdout, done.stderr, *written):
        assert "hunter2secret" not in said and re.findall("[\x00-\x08\x0b-\x1f\x7f\u202e]", said) == []


def test_what_fired_at_an_earlier_look_clears_only_below_its_leave(tmp_path: Path) -> None:
    """`reports/latest` is still the earlier run's while the later one decides."""
    job = {"id": "/etc/cron.d/shop:4", "paused": False, "overlap": 2, "running": [{"pid": 900, "age_s": 160.0}], "period_s": 60.0, "due_in_s": 20.0}
    looks = [support.snapshot({"snapshot": {"jobs": {"cron": [dict(job, cpu=cores)]}}}) for cores in (2.0, 0.6)]
    first = play(tmp_path, saved(tmp_path / "first", web1=looks[0]))
    assert "/etc/cron.d/shop:4 runs 2 times at once" in first.stdout
    later = saved(tmp_path / "later", web1=looks[1])
    (tmp_path / "alone").mkdir()
    assert "/etc/cron.d/shop:4" not in play(tmp_path / "alone", later).stdout
    held = play(tmp_path, later, "-e", "pressure_earlier=reports/latest/diagnosis.json")
    assert held.returncode == 0 and "/etc/cron.d/shop:4 runs 2 times at once" in held.stdout, held.stdout + held.stderr


def test_an_earlier_diagnosis_that_is_none_is_bad_input(tmp_path: Path) -> None:
    for name, said in (("nowhere.json", "No such file"), ("none.json", "its schema is None, known is 1")):
        (tmp_path / "none.json").write_text("{}", encoding="utf-8")
        done = play(tmp_path, saved(tmp_path / "saved", web1=support.snapshot(SICK)), "-e", "pressure_earlier=" + str(tmp_path / name))
        assert done.returncode == 2 and said in done.stdout + done.stderr, done.stdout + done.stderr
