# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the lines of one log come to: how many, signals, exceptions, tasks, and the templates of lines that nobody knows.

Private to oncall.pressure: no stable interface. Pure: lines in, plain data out; memory is bounded whatever the lines say.
"""

from __future__ import annotations

import re
import typing as t
from collections import Counter

from ansible_collections.oncall.pressure.plugins.module_utils._parse import _log_signals, _log_template
from ansible_collections.oncall.pressure.plugins.module_utils._parse._heavy_hitters import HeavyHitters

_TRACEBACK = "Traceback (most recent call last)"
#: How many lines a traceback is followed for its end, and how many at once (those of several processes are mixed).
_TRACE_LINES = 400
_TRACES = 64

_EXCEPTION = re.compile(r"(?P<name>(?:[A-Za-z_]\w{0,99}\.){0,12}[A-Z]\w{0,99})(?::|\s*$)")
# what compose and others put before the lines of a container
_PREFIX = re.compile(r"^[\w.-]{1,80} +\| ?")
# what celery wraps around an exception that was raised in another process: its own traceback stands before
_WRAPPERS = ("ExceptionWithTraceback", "RemoteTraceback")
_CHAINED = ("During handling of the above exception", "The above exception was the direct cause")

_DEBUG = re.compile(r"\bDEBUG\d?\b|\blevel\W{1,4}debug\b|\[debug\]", re.IGNORECASE)

#: The most different exceptions and tasks that are told apart.
_NAMES = 256
#: The most jobs that failed and may start again.
_IDENTITIES = 2048
_TEMPLATES = 128
#: A shorter line says nothing.
_SHORTEST = 8


class Told(t.NamedTuple):
    """One signal: its place in the table, how often, when last (null: not known), the last such line as it was, what it is about most often, and when first
    of those lines that were read."""

    signal: int
    count: int
    last: float | None
    line: str
    about: str | None
    first: float | None


class Tally:
    """Adds up lines. ``stride``: of how many lines one is looked at for its template and its level; every line is looked at for signals."""

    def __init__(self, stride: int = 1) -> None:
        self.stride = stride
        self.lines = 0
        self.bytes = 0
        self.looked = 0
        #: how many lines those that were looked at stand for
        self.sampled = 0
        self.debug = 0
        self.exceptions: Counter[str] = Counter()
        self.tasks: dict[str, list[float]] = {}
        self.templates: HeavyHitters[str] = HeavyHitters(_TEMPLATES)
        self._forms: Counter[tuple[int, int]] = Counter()
        self._last: dict[int, tuple[float | None, str]] = {}
        self._first: dict[int, float] = {}
        self._about: dict[int, HeavyHitters[str]] = {}
        self._traces: dict[t.Hashable, int] = {}
        self._counted: dict[t.Hashable, str] = {}
        #: jobs that failed last, by identity
        self._failed: dict[str, None] = {}

    def add(
        self, line: str, size: int, at: t.Callable[[str], float | None], forms: t.Sequence[_log_signals.Form], writer: t.Hashable = None,
        debug: bool | None = None
    ) -> None:
        """Add a line of ``size`` bytes. at: gives its time, asked only where it is needed; forms: those that may stand in it;
        writer: what tells mixed writers apart; debug: whether it is a line for debugging, where that is known."""
        self.lines += 1
        self.bytes += size
        known = _log_signals.matches(line, forms)
        for match in known:
            self._signal(match, line, at)
        if self._traces or self._counted or _TRACEBACK in line:
            self._trace(line, writer)
        if self.stride > 1 and self.lines % self.stride:
            return
        self.looked += 1
        self.sampled += self.stride
        if debug or (debug is None and ("debug" in line or "DEBUG" in line) and _DEBUG.search(line, 0, 200)):
            self.debug += self.stride
        if not known and len(line) >= _SHORTEST and line[:1] not in (" ", "\t") and not line.startswith((_TRACEBACK, *_CHAINED)):
            self.templates.update({_log_template.template(line): self.stride})

    def _signal(self, match: _log_signals.Match, line: str, at: t.Callable[[str], float | None]) -> None:
        self._forms[match.signal, match.form] += 1
        moment, before = at(line), self._last.get(match.signal)
        if before is None or moment is None or before[0] is None or moment >= before[0]:
            self._last[match.signal] = (moment, line[:_log_signals.LINE_LIMIT])
        if moment is not None:
            self._first[match.signal] = min(self._first.get(match.signal, moment), moment)
        if match.about:
            if match.signal not in self._about:
                self._about[match.signal] = HeavyHitters(16)
            self._about[match.signal].update((match.about[:200],))
        if match.task:
            self._task(match)
        if match.identity:
            self._again(match, line, at)

    def _again(self, match: _log_signals.Match, line: str, at: t.Callable[[str], float | None]) -> None:
        """A job that failed and starts again is tried again, whether or not its program says so."""
        identity, name = match.identity or "", _log_signals.SIGNALS[match.signal].id
        if name == "rq_job_failed":
            self._failed[identity] = None
            if len(self._failed) > _IDENTITIES:
                del self._failed[next(iter(self._failed))]
        elif identity in self._failed:
            del self._failed[identity]
            # a form of its own, that no line has
            self._signal(_log_signals.Match(_RETRY, len(_log_signals.SIGNALS[_RETRY].forms), match.about, match.task, None), line, at)

    def _task(self, match: _log_signals.Match) -> None:
        """Counts by task: received, succeeded, retried, failed, seconds in all, the longest."""
        name = (match.task or "")[:200]
        if name not in self.tasks and len(self.tasks) >= _NAMES:
            return
        row = self.tasks.setdefault(name, [0, 0, 0, 0, 0.0, 0.0])
        place = _TASK_PLACES.get(_log_signals.SIGNALS[match.signal].id)
        if place is not None:
            row[place] += 1
        if match.seconds is not None:
            row[4] += match.seconds
            row[5] = max(row[5], match.seconds)

    def _trace(self, line: str, writer: t.Hashable) -> None:
        """Follow a traceback to the line that names the exception; of those that follow from each other the last counts."""
        if _TRACEBACK in line:
            if len(self._traces) < _TRACES or writer in self._traces:
                self._traces[writer] = _TRACE_LINES
            return
        if writer in self._counted:
            if any(words in line for words in _CHAINED):
                self.exceptions[self._counted.pop(writer)] -= 1
            elif line.strip():
                del self._counted[writer]
        if writer not in self._traces:
            return
        text = _PREFIX.sub("", line, count=1)
        found = _EXCEPTION.match(text) if text[:1] not in ("", " ", "\t") else None
        if found is not None and not found.group("name").isupper():
            del self._traces[writer]
            name = found.group("name")
            if not name.endswith(_WRAPPERS) and (name in self.exceptions or len(self.exceptions) < _NAMES):
                self.exceptions[name] += 1
                self._counted[writer] = name
            return
        self._traces[writer] -= 1
        if self._traces[writer] <= 0:
            del self._traces[writer]

    def signals(self) -> list[Told]:
        """What was told: what is not usual first, then what was most often."""
        counts: dict[int, int] = {}
        for (place, dummy), count in self._forms.items():
            counts[place] = max(counts.get(place, 0), count)
        told = []
        for place, count in counts.items():
            about = self._about[place].top(1) if place in self._about else []
            told.append(Told(place, count, self._last[place][0], self._last[place][1], about[0][0] if about else None, self._first.get(place)))
        return sorted(told, key=lambda row: (_log_signals.SIGNALS[row.signal].usual, -row.count, row.signal))


_TASK_PLACES: t.Final = {
    "celery_task_received": 0, "celery_task_succeeded": 1, "celery_task_retry": 2, "celery_task_failed": 3,
    "rq_job_started": 0, "rq_job_ok": 1, "rq_job_retry": 2, "rq_job_failed": 3,
}
_RETRY: t.Final = next(place for place, signal in enumerate(_log_signals.SIGNALS) if signal.id == "rq_job_retry")
