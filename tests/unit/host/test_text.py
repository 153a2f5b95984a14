# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Text from a host: no control character, no secret, no unbounded length survives."""

from __future__ import annotations

import random
import re
import unicodedata

import pytest

from ansible_collections.oncall.pressure.plugins.module_utils._host import _text

SECRETS = [
    ("url", "postgres://app:{s}@db:5432/shop"),
    ("url with an empty user", "redis://:{s}@127.0.0.1:6379/0"),
    ("url in a sentence", "could not reach amqp://guest:{s}@mq// twice"),
    ("assignment", "DB_PASSWORD={s} gunicorn app"),
    ("quoted assignment", "export API_KEY=\"{s}\""),
    ("option with equals", "worker --broker-password={s} -c 4"),
    ("option with a blank", "worker --token {s} -c 4"),
    ("query string", "/login?user=bob&session={s}&next=/"),
    ("header", "Authorization: Bearer {s}"),
    ("basic header", "authorization: basic {s}"),
    ("json", '{{"user": "bob", "password": "{s}"}}'),
    ("yaml", "secret: {s}"),
    ("cookie", "Cookie={s}"),
]


@pytest.mark.parametrize("form", [form for name, form in SECRETS], ids=[name for name, form in SECRETS])
def test_a_secret_is_replaced_and_what_names_it_stays(form: str) -> None:
    secret = "".join(random.Random(form).choice("abcdefghijkmnpqrstuvwxyz0123456789") for dummy in range(24))
    found = _text.clean(form.format(s=secret))
    assert secret not in found
    assert _text.REDACTED in found
    assert found.split(_text.REDACTED)[0] == form.format(s=secret).split(secret)[0]
    assert _text.clean(found) == found


@pytest.mark.parametrize("text", ["author=Bob", "gunicorn -w 4 -b 127.0.0.1:8000 app:app", "/users/12?page=3", "http://host:8080/path", "monkey=1", "-p 80"])
def test_what_is_no_secret_stays(text: str) -> None:
    assert _text.clean(text) == text


def test_no_control_format_or_surrogate_character_is_left() -> None:
    everything = "".join(map(chr, range(0x3000))) + "\ufeff\ud800\U000e0041\u202e\x9b31m"
    found = "".join(_text.clean(everything[start: start + 100], 4096) for start in range(0, len(everything), 100))
    bad = [
        hex(ord(sign)) for sign in found
        if unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") or (unicodedata.category(sign) == "Cf" and sign not in _ALLOWED)
    ]
    assert bad == []
    assert "\\x1b" in found and "\\u202e" in found


#: Format characters that change no layout and belong to scripts.
_ALLOWED = set("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2")


def test_bytes_that_are_no_text_are_shown_as_escapes() -> None:
    assert _text.clean(b"a\xff\xfeb\x1b[31m") == "a\\xff\\xfeb\\x1b[31m"


def test_templates_stay_text_and_length_is_bounded() -> None:
    assert _text.clean("{{ lookup('pipe','id') }}") == "{{ lookup('pipe','id') }}"
    assert len(_text.clean("x" * 5_000_000)) == _text.TEXT_LIMIT
    assert len(_text.clean(b"\xff" * 5_000_000, 100)) == 100


def test_a_tree_is_cleaned_in_keys_values_and_depth() -> None:
    deep: object = "x"
    for dummy in range(100):
        deep = [deep]
    found = _text.clean_tree({"a\x1bb": ["\x07", {"password=geheim": 1}], "deep": deep, "n": 1.5, "none": None})
    assert "\x1b" not in repr(found) and "\x07" not in repr(found)
    assert found["n"] == 1.5 and found["none"] is None
    assert re.search(r"\[None\]", str(found["deep"]))
