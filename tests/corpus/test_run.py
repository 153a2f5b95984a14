# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The corpus runner on the project's own samples: it must see what is right, what is wrong and what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Dict, List

HERE = Path(__file__).resolve().parent
SAMPLES = HERE / "recordings"
CUT = {"id": "cut", "text": "[1.000001] Memory cgroup out of memory: Killed process 5 (gun",
       "label": {"kernel_oom_kills": 1, "userspace_kills": 0, "events": []}}


def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [str(HERE / "run")] + [str(argument) for argument in arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


def samples() -> List[Dict[str, Any]]:
    return [json.loads(line) for line in (SAMPLES / "oom" / "oom.jsonl").read_text(encoding="utf-8").splitlines()]


def corpus(folder: Path, rows: List[Dict[str, Any]]) -> Path:
    (folder / "oom").mkdir()
    (folder / "oom" / "oom.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


def test_own_samples_are_right():
    done = run(SAMPLES, "--only", "oom")
    assert done.returncode == 0, done.stdout
    assert "%d items: %d right, 0 refused (0.0 %%), 0 wrong" % (len(samples()), len(samples())) in done.stdout


def test_a_wrong_count_is_named(tmp_path):
    rows = samples()
    rows[1]["label"]["kernel_oom_kills"] = 7
    done = run(corpus(tmp_path, rows), "--only", "oom")
    assert done.returncode == 1
    assert "WRONG    own-002: kernel_oom_kills 0, labelled 7" in done.stdout


def test_every_field_of_every_event_counts(tmp_path):
    for name in sorted(samples()[0]["label"]["events"][0]):
        rows = samples()
        rows[0]["label"]["events"][0][name] = "something else"
        folder = tmp_path / name
        folder.mkdir()
        done = run(corpus(folder, rows), "--only", "oom")
        assert done.returncode == 1 and "event 1: %s " % name in done.stdout


def test_a_refusal_is_told_and_bounded(tmp_path):
    (tmp_path / "few").mkdir()
    done = run(corpus(tmp_path / "few", samples() * 4 + [CUT]), "--only", "oom")
    assert done.returncode == 0, done.stdout
    assert "refused  cut: the line is cut" in done.stdout
    (tmp_path / "many").mkdir()
    done = run(corpus(tmp_path / "many", samples() + [CUT]), "--only", "oom")
    assert done.returncode == 1 and "more than 10 % refused" in done.stdout


def test_nothing_to_check_is_bad_input(tmp_path):
    assert run(tmp_path).returncode == 2
    assert run(corpus(tmp_path, []), "--only", "oom").returncode == 1


def test_own_crontabs_are_right_and_a_wrong_label_is_seen(tmp_path):
    done = run(SAMPLES, "--only", "cron")
    assert done.returncode == 0 and " 4 items: 4 right, 0 refused (0.0 %), 0 wrong" in done.stdout, done.stdout
    shutil.copytree(str(SAMPLES / "cron"), str(tmp_path / "cron"))
    rows = tmp_path / "cron" / "cron.jsonl"
    rows.write_text(rows.read_text(encoding="utf-8").replace('"jobs": 3', '"jobs": 2'), encoding="utf-8")
    done = run(tmp_path, "--only", "cron")
    assert done.returncode == 1 and "WRONG    system: jobs 3, labelled 2" in done.stdout


def test_own_log_lines_are_right_and_a_wrong_signal_is_seen(tmp_path):
    done = run(SAMPLES, "--only", "logs")
    assert done.returncode == 0 and " 6 items: 6 right, 0 refused (0.0 %), 0 wrong" in done.stdout, done.stdout
    shutil.copytree(str(SAMPLES / "logs"), str(tmp_path / "logs"))
    rows = tmp_path / "logs" / "logs.jsonl"
    text = rows.read_text(encoding="utf-8")
    rows.write_text(text.replace('"signal": "celery_task_retry"', '"signal": "celery_task_failed"'), encoding="utf-8")
    done = run(tmp_path, "--only", "logs")
    assert done.returncode == 1 and "WRONG    retry: celery_task_failed is not found, but celery_task_retry" in done.stdout
    rows.write_text(text.replace('"signal": "celery_task_retry"', '"signal": "of_another_world"'), encoding="utf-8")
    done = run(tmp_path, "--only", "logs")
    assert done.returncode == 1 and "refused  retry: no signal is called of_another_world" in done.stdout
    rows.write_text(text.replace('"signal": "nginx_upstream_timeout"', '"signal": "none"'), encoding="utf-8")
    assert run(tmp_path, "--only", "logs").returncode == 0
    rows.write_text(text.replace('"signal": "nginx_upstream_timeout"', '"signal": "none"') + text, encoding="utf-8")
    done = run(tmp_path, "--only", "logs")
    assert done.returncode == 1 and "WRONG    upstream: found nginx_upstream_timeout where there is nothing" in done.stdout
