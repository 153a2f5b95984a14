# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A command line with another setting: which bytes change, and when it is refused."""

from __future__ import annotations

import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._parse._rewrite_command import Refused, rewrite

IN_PLACE = [
    ("systemd", "ExecStart=gunicorn -w 4 shop.wsgi", "ExecStart=gunicorn -w 3 shop.wsgi"),
    ("systemd", "ExecStart=gunicorn -w4 shop.wsgi", "ExecStart=gunicorn -w3 shop.wsgi"),
    ("systemd", "ExecStart=gunicorn --workers=4 shop.wsgi", "ExecStart=gunicorn --workers=3 shop.wsgi"),
    ("systemd", "ExecStart=gunicorn --workers '4' shop.wsgi", "ExecStart=gunicorn --workers '3' shop.wsgi"),
    ("systemd", "ExecStart=gunicorn \"--workers=4\" shop.wsgi", "ExecStart=gunicorn \"--workers=3\" shop.wsgi"),
    ("systemd", "ExecStart=!/opt/%p/bin/gunicorn \\\n\t-w 4 \\\n# why\n  --bind unix:%t/%n.sock \\\n  shop:app", None),
    ("systemd", "ExecStart=/bin/sh -c 'gunicorn -w 4 --threads 4 shop:app >/var/log/4 2>&1'", None),
    ("systemd", "ExecStart=gunicorn -w 9 -b 127.0.0.1:4 --workers 4 shop:app", None),
    ("systemd", "ExecStart=celery worker -A shop -Ec4", None),
    ("systemd", "ExecStart=celery -A shop worker --concurrency  4 -n 4@%%h", None),
    ("supervisor", "command=celery -A shop worker -c 4 -Q q4,r ; four\r\n", None),
    ("procfile", "web: newrelic-admin run-program gunicorn -w 4 shop:app", None),
    ("compose", "command: \"gunicorn -w 4 shop:app\"", None),
    ("compose", "    command: >\n      gunicorn\n      --workers 4\n      shop:app\n", None),
    ("compose", "    command: [\"sh\", \"-c\", \"sleep 4 && gunicorn -w 4 shop:app\"]", None),
    ("shell", "sleep 4 && exec gunicorn shop:app -w 4 --log-file=- | tee /var/log/4", None),
    ("shell", "uvicorn shop:app --workers \"4\" &", None),
    ("shell", "nohup celery -A shop worker -c 4 -- celeryd.prefetch_multiplier=4 &", None),
    ("argv", "gunicorn\n-w\n4\nshop:app", None),
]
#: where the only 4 that is a count stands, of those whose new text is not written out
PLACES = {5: "-w 4", 6: "-w 4", 7: "--workers 4", 8: "-Ec4", 9: "--concurrency  4", 10: "-c 4", 11: "-w 4", 12: "-w 4", 13: "--workers 4", 14: "-w 4",
          15: "-w 4", 16: "--workers \"4", 17: "-c 4", 18: "-w\n4"}


@pytest.mark.parametrize("number", range(len(IN_PLACE)))
def test_only_the_value_changes(number):
    kind, raw, wanted = IN_PLACE[number]
    if wanted is None:
        assert raw.count(PLACES[number]) == 1
        wanted = raw.replace(PLACES[number], PLACES[number][:-1] + "3")
    assert rewrite(raw, kind, {"workers": 3}) == wanted


@pytest.mark.parametrize("kind, raw, wanted", [
    ("systemd", "ExecStart=gunicorn shop:app", "ExecStart=gunicorn shop:app --workers 3"),
    ("systemd", "ExecStart=gunicorn --workers $WORKERS shop:app", "ExecStart=gunicorn --workers $WORKERS shop:app --workers 3"),
    ("systemd", "ExecStart=gunicorn -w ${WORKERS} \\\n  shop:app\n", "ExecStart=gunicorn -w ${WORKERS} \\\n  shop:app --workers 3\n"),
    ("systemd", "ExecStart=gunicorn -k sync -- shop:app", "ExecStart=gunicorn -k sync --workers 3 -- shop:app"),
    ("systemd", "ExecStart=/bin/sh -c 'gunicorn shop:app | logger'", "ExecStart=/bin/sh -c 'gunicorn shop:app --workers 3 | logger'"),
    ("systemd", "ExecStart=/bin/sh -c 'gunicorn \"shop:create()\" && true'", "ExecStart=/bin/sh -c 'gunicorn \"shop:create()\" --workers 3 && true'"),
    ("systemd", "ExecStart=/bin/sh -c 'exec gunicorn shop:app --timeout=\"60\" 2>&1'",
     "ExecStart=/bin/sh -c 'exec gunicorn shop:app --workers 3 --timeout=\"60\" 2>&1'"),
    ("shell", "gunicorn shop:app >/var/log/shop 2>&1 &", "gunicorn shop:app --workers 3 >/var/log/shop 2>&1 &"),
    ("shell", "gunicorn shop:app; echo done", "gunicorn shop:app --workers 3; echo done"),
    ("supervisor", "command=gunicorn -w %(ENV_N)s shop:app ; count", "command=gunicorn -w %(ENV_N)s shop:app --workers 3 ; count"),
    ("compose", "command: [gunicorn, 'shop:app']", "command: [gunicorn, 'shop:app', \"--workers\", \"3\"]"),
    ("compose", "command:\n  - gunicorn\n  - shop:app\n", "command:\n  - gunicorn\n  - shop:app\n  - \"--workers\"\n  - \"3\"\n"),
    ("argv", "gunicorn\nshop:app", "gunicorn\nshop:app\n--workers\n3"),
])
def test_an_option_is_added_where_it_counts(kind, raw, wanted):
    assert rewrite(raw, kind, {"workers": 3}) == wanted


def test_each_program_has_its_own_names():
    uvicorn = rewrite("ExecStart=uvicorn shop:app", "systemd", {"max_requests": 900, "max_requests_jitter": 90})
    assert uvicorn == "ExecStart=uvicorn shop:app --limit-max-requests 900 --limit-max-requests-jitter 90"
    celery = rewrite("ExecStart=celery -A shop worker", "systemd", {"workers": 2, "max_tasks_per_child": 50, "max_memory_per_child_kib": 200000})
    assert celery == "ExecStart=celery -A shop worker --concurrency 2 --max-tasks-per-child 50 --max-memory-per-child 200000"
    assert rewrite("ExecStart=rq worker-pool mails -n 4", "systemd", {"workers": 2}) == "ExecStart=rq worker-pool mails -n 2"
    assert rewrite("ExecStart=celery -A shop worker --maxtasksperchild=9", "systemd", {"max_tasks_per_child": 5}).endswith("--maxtasksperchild=5")
    assert rewrite("ExecStart=celery -A shop worker --autoscale 9,3", "systemd", {"autoscale": "5,3"}).endswith("--autoscale 5,3")


@pytest.mark.parametrize("raw, settings, reason", [
    ("ExecStart=gunicorn -w 4 $OPTIONS shop:app", {"workers": 3}, "$OPTIONS may hold any option"),
    ("ExecStart=celery -A shop worker -c 4 --autoscale=9,3", {"workers": 3}, "--autoscale is given"),
    ("ExecStart=celery multi start a b", {"workers": 3}, "celery multi"),
    ("ExecStart=celery -A shop beat", {"workers": 3}, "celery beat has no setting workers"),
    ("ExecStart=rq worker mails", {"workers": 3}, "start fewer of them"),
    ("ExecStart=gunicorn shop:app", {"max_tasks_per_child": 3}, "gunicorn has no option for max_tasks_per_child"),
    ("ExecStart=gunicorn shop:app", {"workers": "3 --reload"}, "give a number"),
    ("ExecStart=/srv/shop/start.sh", {"workers": 3}, "look into the script"),
    ("ExecStart=gunicorn 'shop:app", {"workers": 3}, "not closed"),
])
def test_what_is_not_sure_is_refused(raw, settings, reason):
    found = rewrite(raw, "systemd", settings)
    assert isinstance(found, Refused) and reason in found.reason


@pytest.mark.parametrize("content, wanted", [
    ("--timeout 60", "ExecStart=gunicorn -w 3 $OPTIONS shop:app"),
    ("--timeout 60 -w 9", "ExecStart=gunicorn -w 4 $OPTIONS shop:app --workers 3"),
])
def test_a_variable_whose_content_is_known_hides_nothing(content, wanted):
    assert rewrite("ExecStart=gunicorn -w 4 $OPTIONS shop:app", "systemd", {"workers": 3}, {"OPTIONS": content}) == wanted


@pytest.mark.parametrize("kind, raw, wanted", [
    ("shell", "gunicorn -w 4 \"$APP\" &", "gunicorn -w 4 \"$APP\" --workers 3 &"),
    ("systemd", "ExecStart=gunicorn -w 4 ${APP}", "ExecStart=gunicorn -w 4 ${APP} --workers 3"),
])
def test_behind_a_variable_that_is_one_argument_an_option_counts(kind, raw, wanted):
    assert rewrite(raw, kind, {"workers": 3}) == wanted
    assert isinstance(rewrite(raw.replace("${APP}", "$APP").replace("$APP\"", "${APP[@]}\""), kind, {"workers": 3}), Refused)


def test_nothing_is_added_behind_the_end_of_options():
    found = rewrite("ExecStart=gunicorn $OPTIONS", "systemd", {"workers": 3}, {"OPTIONS": "-t 60 -- shop:app"})
    assert isinstance(found, Refused) and "cannot be followed" in found.reason


def test_the_same_value_changes_nothing():
    raw = "ExecStart=gunicorn  -w 3  shop:app"
    assert rewrite(raw, "systemd", {"workers": 3}) == raw
