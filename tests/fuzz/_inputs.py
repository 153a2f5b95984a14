# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hostile input: what a program really writes, cut, doubled, swapped and sprinkled with what breaks parsers."""

from __future__ import annotations

import random
from typing import Sequence

from hypothesis import strategies as st

# What has broken parsers of this kind: quotes and brackets that do not end, signs that mean something elsewhere, numbers at and past every edge,
# signs that steer terminals, names that Ansible would run.
SPRINKLES: tuple[str, ...] = (
    "\"", "'", "\\", "\\\\", "\\\"", "`", "$(", "${", "$", "%", "%%", "%(x)s", "%n", "{", "}", "{{", "}}", "{%", "#", ";", ";;", "|", "&", "<", ">", "(", ")",
    "[", "]",
    "=", "==", ":", "::", ",", "@", "/", "//", "../", "*", "?", "~", "!", "-", "--", "-c", "-w", "\n", "\r\n", "\r", "\t", " ", "   ",
    "\0", "\x1b[31m", "\x1b]0;x\x07", "\x7f",
    "\x85", "\u2028", "\u202e", "\ufeff", "\u00e9", "\U0001f525", "\ud800", "0", "-1", "007", "0x", "1e309", "nan", "inf", "2147483648", "18446744073709551616",
    "9" * 400, "٣", "a" * 300, "true", "null", "None", "include", "lua_block {", "https://u:p@h/", "::ffff:1.2.3.4", "fe80::1%eth0",
    "[::]:80", "\\x41", "\\u0000", "\\N{DASH}",
    "&a [*a,*a]", "<<: *a", "!!python/object:os.system", "__import__('os')",
)

#: A secret that is planted is made of these; it must never be seen again.
MARK = "Zq7hidden"

# {} is where the secret stands. Each is whole: what is cut in two is no secret that anybody could tell.
PLANTED: tuple[str, ...] = (
    "password={}", "DB_PASSWORD={}", "--password={}", "--api-key {}", "token: {}", "\"secret\": \"{}\"", "postgres://app:{}@db/shop",
    "redis://:{}@cache:6379/0",
    "Authorization: Bearer {}", "amqp://u:{}@mq//", "AWS_SECRET_ACCESS_KEY={}", "?api_key={}", "&access_token={}",
)


def mutated(seeds: Sequence[str], number: int) -> str:
    """One of the seeds with a few changes, all of them decided by ``number``."""
    drawn = random.Random(number)
    text = drawn.choice(seeds)
    for dummy in range(drawn.choice((0, 1, 1, 2, 3, 5, 9))):
        start, end = sorted((drawn.randrange(len(text) + 1), drawn.randrange(len(text) + 1)))
        kind = drawn.randrange(8)
        if kind <= 3:
            text = text[:start] + drawn.choice(SPRINKLES) + text[start:]
        elif kind == 4:
            text = text[:start] + text[end:]
        elif kind == 5:
            text = text[:start] + text[start:end] * drawn.choice((2, 2, 3, 40)) + text[end:]
        elif kind == 6:
            other = drawn.choice(seeds)
            text = text[:start] + other[drawn.randrange(len(other) + 1):]
        else:
            text = text[:start] + chr(drawn.choice((drawn.randrange(128), drawn.randrange(0x3000)))) + text[start + 1:]
        # forty times of forty times is only long
        text = text[:20000]
    return text


#: So many are drawn with one number: hypothesis takes longer over a draw than a parser over a text.
BATCH = 40


def texts(seeds: Sequence[str]) -> st.SearchStrategy[list[str]]:
    """Mostly what a program might write, a batch of it; sometimes anything, one text."""
    changed = st.integers(0, 2**56).map(lambda number: [mutated(seeds, BATCH * number + place) for place in range(BATCH)])
    return st.one_of(changed, changed, changed, st.text(max_size=200).map(lambda text: [text]))


def planted(seeds: Sequence[str]) -> st.SearchStrategy[list[tuple[str, str]]]:
    """A batch of (a text with a secret in it, the secret)."""
    def plant(number: int) -> tuple[str, str]:
        drawn = random.Random(number)
        secret = MARK + "".join(drawn.choice("abcdefghkmnpqrstuvwxyzABCDEFGH23456789") for dummy in range(drawn.randrange(8, 24)))
        before, after = mutated(seeds, number + 1)[:150], mutated(seeds, number + 2)[:150]
        # in a line of its own: an open quote before it would make it part of something else
        return before + "\n" + drawn.choice(PLANTED).format(secret) + "\n" + after, secret

    return st.integers(0, 2**56).map(lambda number: [plant(BATCH * number + place) for place in range(BATCH)])
