# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Job files of at 3.2.5-1 (Debian 12, recorded; its environment shortened), and anacrontabs."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.oncall.pressure.plugins.module_utils._parse import _job_files

RECORDED = Path(__file__).resolve().parents[1] / "recordings" / "jobs" / "debian-12"
HEAD = "#!/bin/sh\n# atrun uid=0 gid=0\nTOKEN=s3cr3t; export TOKEN\ncd /root || {\n\t echo 'Execution directory inaccessible' >&2\n\t exit 1\n}\n"


def test_what_a_job_runs_without_its_environment() -> None:
    text = (RECORDED / "at-job").read_text(encoding="utf-8")
    assert "s3cr3t-of-the-shop" in text
    assert _job_files.commands(text) == ["echo hello world", "/usr/bin/python3 /srv/x.py --password=hunter22"]


def test_red_hats_hands_it_to_a_shell() -> None:
    text = HEAD + "${SHELL:-/bin/sh} << 'marcinDELIMITER0f7f7fc6'\nimport --all\nsync\n\nmarcinDELIMITER0f7f7fc6\n"
    assert _job_files.commands(text) == ["import --all", "sync"]


def test_what_cannot_be_told_from_the_environment_is_not_shown() -> None:
    assert _job_files.commands("#!/bin/sh\nTOKEN=s3cr3t; export TOKEN\nimport\n") is None


def test_names() -> None:
    # at said: job 1 at Sat Nov 28 10:32:00 2026 (UTC)
    assert _job_files.spooled("a0000101c8b618") == ("a", 1, 1795861920.0)
    assert _job_files.spooled("=0000a01c8b564") == ("=", 10, 1795851120.0)
    assert _job_files.spooled(".SEQ") is None and _job_files.spooled("a0000101c8b6180") is None


def test_anacrontab_of_debian_12() -> None:
    text = ("# comment\nSHELL=/bin/sh\nSTART_HOURS_RANGE=3-22\n1\t5\tcron.daily\trun-parts --report /etc/cron.daily\n"
            "@monthly 15 cron.monthly\trun-parts /etc/cron.monthly\n7 x bad run\n@often 1 bad run\n1 1 ../up run\n")
    assert _job_files.anacrontab(text) == [
        ("cron.daily", "1", 86400.0, 300.0, "run-parts --report /etc/cron.daily"), ("cron.monthly", "@monthly", None, 900.0, "run-parts /etc/cron.monthly")]


def test_stamps() -> None:
    assert _job_files.stamp("20261128\n") == "2026-11-28"
    assert _job_files.stamp("") is None and _job_files.stamp("2026112\n") is None


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([*HEAD.split("\n"), "import", "${SHELL:-/bin/sh} << 'x'", "x", "1 5 a b", "@daily 1 c d"]) | st.text(max_size=20), max_size=20))
def test_any_text_is_read(lines: list[str]) -> None:
    text = "\n".join(lines)
    assert all(line.strip() for line in _job_files.commands(text) or [])
    assert all("/" not in job.name and job.delay_s >= 0 for job in _job_files.anacrontab(text))
    assert all(_job_files.spooled(line) is None or len(line) == 14 for line in lines)
