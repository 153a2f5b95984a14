# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Feed one parser so many inputs: none may crash it, hold it, or come out with a sign that steers a terminal or with a secret."""

from __future__ import annotations

import contextlib
import re
import signal
import time
import types
from typing import Any, Iterator, Mapping

import _inputs
import _targets
import hypothesis
from ansible_collections.oncall.pressure.plugins.module_utils._host import _text
from hypothesis import HealthCheck

#: An input that takes longer than this hangs: the longest is 20,000 characters, and most take microseconds.
HANG_S = 20.0

#: What a document must not hold, written down again and not taken from the product: controls, what turns the direction of text, lone surrogates.
UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")

SECRETS = "documents without secrets"


class Hang(BaseException):
    """No ordinary exception: a parser must not catch it."""


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Raises Hang in what takes too long."""
    def late(number: int, frame: types.FrameType | None) -> None:
        raise Hang("longer than {0:.0f} s".format(HANG_S))

    before = signal.signal(signal.SIGALRM, late)
    # again and again: one that meets a destructor is swallowed there
    signal.setitimer(signal.ITIMER_REAL, HANG_S, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def plain(value: Any) -> Any:
    """What a parser gave, as a document would hold it: tuples as lists, sets in no order, bytes decoded."""
    if isinstance(value, bytes):
        return _text.decode(value)
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return [plain(getattr(value, name)) for name in getattr(value, "__slots__", ())] or repr(type(value))


def texts_of(value: Any) -> Iterator[str]:
    """Every text in a tree."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from texts_of(key)
            yield from texts_of(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts_of(item)


class Counts:
    """What came of the inputs of one parser."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.inputs = self.refused = 0
        self.seconds = self.slowest_s = 0.0
        self.problem: str | None = None
        #: the input that was tried last: where one broke the parser, it
        self.last = ""

    def row(self) -> dict[str, Any]:
        return {"parser": self.name, "inputs": self.inputs, "refused": self.refused, "seconds": round(self.seconds, 1),
                "slowest_ms": round(1000 * self.slowest_s, 1), "problem": self.problem}


def _one(target: _targets.Target, text: str, counts: Counts) -> None:
    counts.inputs += 1
    counts.last = text
    # what is no text is made one at the door
    text = _text.decode(text.encode("utf-8", "surrogatepass"))
    started = time.perf_counter()
    try:
        with limited():
            found = target.call(text)
    except target.errors:
        counts.refused += 1
        return
    finally:
        counts.slowest_s = max(counts.slowest_s, time.perf_counter() - started)
    for said in texts_of(_text.clean_tree(plain(found))):
        assert not UNSAFE.search(said), "not cleaned: {0!r}".format(said)


def _without_secret(planted: tuple[str, str], counts: Counts) -> None:
    counts.inputs += 1
    counts.last = planted[0]
    text, secret = _text.decode(planted[0].encode("utf-8", "surrogatepass")), planted[1]
    with limited():
        said = _targets.cleaned(text)
    assert secret not in said, "a secret is left"


def feed(name: str, examples: int, seed: int) -> Counts:
    """So many inputs for one parser; the first that breaks it, made as small as it gets, is the ``problem``."""
    counts = Counts(name)
    secrets = name == SECRETS
    # a quarter of the draws is one text alone
    draws = max(1, round(examples / (_inputs.BATCH if secrets else 0.75 * _inputs.BATCH + 0.25)))
    given = hypothesis.settings(max_examples=draws, deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=False)
    if secrets:
        seeds = _targets.COMMANDS + _targets.ACCESS + _targets.ENVIRONMENT

        def run(rows: list[tuple[str, str]]) -> None:
            for row in rows:
                _without_secret(row, counts)

        fed = hypothesis.given(_inputs.planted(seeds))(run)
    else:
        target = next(one for one in _targets.TARGETS if one.name == name)

        def run_texts(texts: list[str]) -> None:
            for text in texts:
                _one(target, text, counts)

        fed = hypothesis.given(_inputs.texts(target.seeds))(run_texts)
    drawn = given(fed)
    started = time.perf_counter()
    try:
        # how many of the draws are a batch is for hypothesis to say: until there are enough
        while counts.inputs < examples:
            hypothesis.seed(seed)(drawn)()
            seed += 1
    except (Exception, Hang) as problem:  # whatever it is, it is what is looked for
        counts.problem = "{0}: {1}, by {2!r}".format(type(problem).__name__, problem, counts.last[:1000])
    counts.seconds = time.perf_counter() - started
    return counts


def names() -> list[str]:
    """What there is to feed."""
    return [target.name for target in _targets.TARGETS] + [SECRETS]
