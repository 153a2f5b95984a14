# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Brokers of celery by their URLs: where they are, and never what lets one in."""

from __future__ import annotations

import os
import re
import typing as t

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.oncall.pressure.plugins.module_utils._parse import _broker_url

EXAMPLES = int(os.environ.get("PRESSURE_EXAMPLES", "300"))


@pytest.mark.parametrize(("url", "place", "elsewhere"), [
    ("amqp://shop:geheim@rabbit.example.com:5672/shop", "amqp://rabbit.example.com:5672", True), ("pyamqp://guest@localhost//", "amqp://localhost", False),
    ("amqps://u:ge/he@im@10.0.0.5", "amqp://10.0.0.5", True), ("amqp://u:geheim@[::1]:5672", "amqp://[::1]:5672", False), ("amqp://u:geheim", "amqp", False),
    ("amqp://a:geheim@one:5672;amqp://b:geheim@two:5672", "amqp://one:5672", True), ("sqs://AKIA:ge/heim@", "sqs", False), ("sqs", "sqs", False),
    ("redis://:geheim@cache:6379/0", "redis://cache:6379", True), ("rediss://127.0.1.1:6380/0?password=geheim", "redis://127.0.1.1:6380", False),
    ("redis+socket:///run/redis.sock?password=geheim", "redis", False),
    ("sentinel://a:26379;sentinel://b:26379", "redis://a:26379", True),
    ("sqla+postgresql://u:geheim@db/x", "database", False), ("memory://", "memory", False),
    ("geheim://x", None, False), ("geheim", None, False), ("", None, False),
])
def test_where_a_broker_is(url: str, place: t.Optional[str], elsewhere: bool) -> None:
    assert _broker_url.place(url) == place
    assert place is None or ("geheim" not in place and _broker_url.elsewhere(place) is elsewhere)


@given(st.sampled_from(sorted(_broker_url.KINDS)), st.text(max_size=30), st.sampled_from(["@rabbit", "@rabbit:5672/x", "@10.0.0.5:1"]))
@settings(max_examples=EXAMPLES, deadline=None)
def test_no_password_is_told(scheme: str, password: str, end: str) -> None:
    place = _broker_url.place("%s://user:pw#%sgeheim%s" % (scheme, password, end))
    assert place is not None and "geheim" not in place and "pw#" not in place and "user" not in place


@given(st.text(max_size=200) | st.text(alphabet="amqpredis:/@[];?+.0", max_size=60))
@settings(max_examples=EXAMPLES, deadline=None)
def test_anything(text: str) -> None:
    place = _broker_url.place(text)
    assert place is None or re.fullmatch(r"[a-z]{3,20}(?:://[A-Za-z0-9._:\[\]-]{1,262})?", place)
