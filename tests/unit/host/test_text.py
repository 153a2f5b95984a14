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
    ("url with a slash in the password", "celery -b amqp://shop:pa/{s}@rabbit/vh worker"),
    ("url with a quote in the password", "redis://:pa'{s}@host"),
    ("url with digits and a slash in the password", "postgres://shop:12/{s}@db"),
    ("url with an @ in the password", "postgres://shop:p@{s}@db"),
    ("key as a url's user", "https://{s}@sentry.example/1"),
    ("driver for go", "shop:{s}@tcp(db:3306)/shop"),
    ("storage account", "AccountName=a;AccountKey={s}=="),
    ("signs that end a word in a shell", "worker --password={s};{s},{s}&{s}|{s}"),
    ("parameter in brackets", "/login?user[password]={s};{s}&next=/"),
    ("json in a string", '"{{\\"password\\": \\"a {s}\\"}}"'),
    ("escaped quote", '{{"password": "a\\"{s}", "user": "bob"}}'),
    ("quoted option", "worker --passwd 'two {s}' -c 4"),
]


@pytest.mark.parametrize("form", [form for name, form in SECRETS], ids=[name for name, form in SECRETS])
def test_a_secret_is_replaced_and_what_names_it_stays(form: str) -> None:
    secret = "".join(random.Random(form).choice("abcdefghijkmnpqrstuvwxyz0123456789") for dummy in range(24))
    found = _text.clean(form.format(s=secret))
    assert secret not in found
    assert _text.REDACTED in found
    assert form.format(s=secret).startswith(found.split(_text.REDACTED)[0])
    assert _text.clean(found) == found


@pytest.mark.parametrize("text", [
    "author=Bob", "gunicorn -w 4 -b 127.0.0.1:8000 app:app", "/users/12?page=3", "http://host:8080/path", "monkey=1", "-p 80",
    "keyboard=us", "user@host", "git@github.com:x/y", "bob@shop.example", "http://host:8080/path@v2", "http://[::1]:8080/path@v2", "celery@host",
    "shop@2.service", "python -m x --access-logfile -", "ssh://git@host:22/x@v2", "disk-usage-reports", "/login?token=REDACTED&x=1", "psql -p 5432",
])
def test_what_is_no_secret_stays(text: str) -> None:
    assert _text.clean(text) == text
    assert _text.clean_words(text.split(" ")) == text


@pytest.mark.parametrize("form", ["postgres://u:{s}@db/app", "postgres://u:{s}", "PASSWORD={s}", "--password {s}", "Authorization: Bearer {s}", "gho_{s}"])
@pytest.mark.parametrize("size", [600, 5000])
def test_no_part_of_a_long_secret_is_left(form: str, size: int) -> None:
    if "@" not in form and "://" in form and size < 4000:
        form += "@"
    found = _text.clean(form.format(s="S5" * (size // 2)))
    assert "S5" not in found and _text.REDACTED in found
    assert _text.clean(found) == found


def test_the_other_parameters_of_a_query_stay() -> None:
    assert _text.clean("GET /login?a=1&token=abc;d&x=1 HTTP/1.1") == "GET /login?a=1&token=REDACTED&x=1 HTTP/1.1"


@pytest.mark.parametrize("words, expected", [
    (["worker", "--password", "my secret phrase", "-c", "4"], "worker --password REDACTED -c 4"),
    (["worker", "--password=a;b,c&d|e f", "-c", "4"], "worker --password=REDACTED -c 4"),
    (["env", "PASSWORD=a b 'c", "app"], "env PASSWORD=REDACTED app"),
    (["worker", "--password", "--verbose", "app"], "worker --password --verbose app"),
    (["worker", "postgresql://u:p w@h/db", "x"], "worker postgresql://u:REDACTED@h/db x"),
    (["/usr/bin/curl", "-sSu", "bob:p w", "--user=a:b", "-ubob:x", "https://x"], "/usr/bin/curl -sSu REDACTED --user=REDACTED -uREDACTED https://x"),
    (["curl", "-H", "X-Api-Key: a b", "https://x"], "curl -H X-Api-Key: REDACTED https://x"),
    (["sshpass", "-p", "pw", "ssh", "-p", "22", "host"], "sshpass -p REDACTED ssh -p 22 host"),
    (["mysql", "-uroot", "-pPW", "-P", "3306", "-p", "shop"], "mysql -uroot -pREDACTED -P 3306 -p shop"),
    (["redis-cli", "-p", "6379", "-a", "pw", "ping"], "redis-cli -p 6379 -a REDACTED ping"),
    (["sh", "-c", "exec mysqldump -pPW shop"], "sh -c exec mysqldump -pREDACTED shop"),
    (["worker --token abc def"], "worker --token REDACTED def"),
    ([], ""),
])
def test_an_argument_list_is_redacted_word_by_word(words: list, expected: str) -> None:
    found = _text.clean_words(words, 200)
    assert found == expected
    assert _text.clean(found, 200) == found
    assert len(_text.clean_words(words + ["x" * 1_000_000] * 3, 200)) == 200


def test_cleaning_twice_finds_nothing_new() -> None:
    parts = ["://", "@", ":", "=", "password", "token", "&", "?", " ", "'", '"', "\\", "\t", "\x1b", "--password", "--token ", "REDACTED", "...", "bearer ",
             "basic ", "eyJaaaaaaaaaa", ".", "a" * 16, "b1", "/", "sk-", "@tcp(", "curl ", "-u ", "-p", ",", "}", "redis", "x" * 40, "http", "\u2028"]
    dice = random.Random(5)
    for dummy in range(5000):
        text = "".join(dice.choice(parts) for dummy in range(dice.randrange(1, 14)))
        limit = dice.choice([20, 40, 300])
        found = _text.clean(text, limit)
        assert len(found) <= limit
        assert _text.clean(found, limit) == found, text
        words = _text.clean_words(text.split(" "))
        assert _text.clean(words) == words, text


@pytest.mark.parametrize("part", [
    "a", "_", "-", ".", "a.", "@", "&", "\\", " ", "://", "a://b:", "a://b:80/", "a://b:@", "pass", "password=", 'password="', "password='\\", "--password '",
    "?token=a&", "eyJ", "eyJaaaaaaaa.", "bearer ", "sk-", ":@tcp(",
])
def test_no_text_makes_redaction_slow(part: str) -> None:
    # what takes more than linear time takes hours at this length: the run as a whole would not end
    text = part * (1_000_000 // len(part))
    assert len(_text.redact(text)) <= len(text) * 3


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


class Carrying(str):
    """Text that carries something along, as a controller's does."""


def test_what_is_kept_of_a_text_is_plain_and_depends_on_the_limit() -> None:
    carried = Carrying("a word that nobody cleaned before")
    assert {_text.clean(carried).__class__, _text.clean("a word that nobody cleaned before").__class__} == {str}
    assert (_text.clean("a" * 40, 12), _text.clean("a" * 40, 40)) == ("a" * 9 + "...", "a" * 40)
    for size in range(_text._SHORT - 2, _text._SHORT + 3):
        text = "token=%s " % ("s" * (size - 10)) + "\x1b[2J"
        assert _text.clean(text) == _text._clean(text, _text.TEXT_LIMIT) and "sss" not in _text.clean(text)
