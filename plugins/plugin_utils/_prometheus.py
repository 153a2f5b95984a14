# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a Prometheus server is asked about the memory of one host over time: where, under which names, and in which words.

Private to oncall.pressure: no stable interface. Pure: whoever calls brings what asks. No word of a host or of the server stands in a question.
"""

from __future__ import annotations

import re
import typing as t
import urllib.parse

from ansible_collections.oncall.pressure.plugins.plugin_utils._prometheus_answer import Series, series

#: How long all questions about one host may take together, how long one may, and the most bytes of an answer.
LIMIT_S: t.Final = 8.0
ASK_S: t.Final = 5.0
ANSWER_BYTES: t.Final = 4194304

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,252}\Z|[0-9A-Fa-f:.]{2,45}\Z")
_PORT = re.compile(r":[0-9]{1,5}\Z")
_HERE = re.compile(r"(?:localhost(?:\.localdomain)?|127\.[0-9.]+|::1)\Z", re.IGNORECASE)


class Span(t.NamedTuple):
    """A stretch of time up to now: how long, and what lies between two points."""

    back_s: int
    every_s: int


#: A day for what lives long, and the last two hours closely for what was started within it.
DAY: t.Final = Span(86400, 1800)
HOURS: t.Final = Span(7200, 150)


class Question(t.NamedTuple):
    """One question: whose figures it asks for, of what (the host, control groups, groups of processes), which figure, and its words.

    The first question of an exporter is about memory; where nothing is known of that, the others are not asked.
    """

    exporter: str
    of: str
    figure: str
    words: str


_BY_ID = "by (instance, job, id)"
_BY_GROUP = "by (instance, job, groupname)"
_GROUPS = "namedprocess_namegroup_memory_bytes{%(at)s"

#: What exporters that are commonly there call the figures of ``memory_history``. (systemd_exporter had the memory of main processes once, and has none now.)
QUESTIONS: t.Final = (
    Question("node_exporter", "host", "available_bytes", "node_memory_MemAvailable_bytes{%(at)s}"),
    Question("node_exporter", "host", "total_bytes", "node_memory_MemTotal_bytes{%(at)s}"),
    Question("node_exporter", "host", "swap_used_bytes", "node_memory_SwapTotal_bytes{%(at)s} - node_memory_SwapFree_bytes{%(at)s}"),
    Question("cAdvisor", "id", "bytes", "max " + _BY_ID + " (container_memory_working_set_bytes{%(at)s,id!=\"/\"})"),
    Question("cAdvisor", "id", "cpu_used", "sum " + _BY_ID + " (rate(container_cpu_usage_seconds_total{%(at)s,id!=\"/\"}[%(rate_s)ds]))"),
    # the proportional memory is nothing where process-exporter may not read it
    Question("process-exporter", "groupname", "bytes", "sum " + _BY_GROUP + " ((" + _GROUPS + ",memtype=\"proportionalResident\"} > 0)"
             " or on (instance, job, groupname) " + _GROUPS + ",memtype=\"resident\"})"),
    Question("process-exporter", "groupname", "cpu_used", "sum " + _BY_GROUP + " (rate(namedprocess_namegroup_cpu_seconds_total{%(at)s}[%(rate_s)ds]))"),
    Question("nginx exporter", "host", "requests_per_s", "sum by (instance, job) (rate(nginx_http_requests_total{%(at)s}[%(rate_s)ds]))"),
)


class Unanswered(Exception):
    """A question that was not answered. ``last``: nor will the next one be. ``denied``: we are not let in."""

    def __init__(self, reason: str, last: bool = True, denied: bool = False) -> None:
        super().__init__(reason)
        self.last = last
        self.denied = denied


class Address(t.NamedTuple):
    """Where a server is, what stands before its paths, and who logs in there (empty: nobody)."""

    secure: bool
    host: str
    port: int | None
    prefix: str
    user: str
    password: str


class Answer(t.NamedTuple):
    """What was said to one question about one stretch of time."""

    question: Question
    span: Span
    found: list[Series]


class Told:
    """What came so far: it may be looked at while more comes."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.problems: list[str] = []
        self.denied = False
        self.complete = False


def address(url: str) -> Address:
    """The parts of ``http[s]://[USER:PASSWORD@]HOST[:PORT][/PREFIX]``. Raises ValueError, whose words hold nothing of what was given."""
    try:
        parts = urllib.parse.urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:
        raise ValueError("it is no URL (a sign in a password that ends it is written as %XX)") from None
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment or re.search(r"[\x00-\x20\x7f]", url):
        raise ValueError("it is no URL like http://prometheus.example.com:9090")
    user, password = (urllib.parse.unquote(part or "") for part in (parts.username, parts.password))
    return Address(parts.scheme == "https", host, port, parts.path.rstrip("/"), user, password)


def names(called: str, *known: str) -> list[str]:
    """What a host may be called there: what people say, else its names in the inventory. Raises ValueError where people say what is no name.

    This machine's name for itself is none: there it means the server's own.
    """
    if called:
        name = _PORT.sub("", called) if called.count(":") == 1 else called
        if not _NAME.match(name):
            raise ValueError("it is no name of a host: %s" % ascii(called[:80]))
        return [name]
    return list(dict.fromkeys(name for name in known if _NAME.match(name) and not _HERE.match(name)))


def matcher(called: t.Sequence[str]) -> str:
    """What selects the series of a host: its names, on any port."""
    words = [re.sub(r"[^A-Za-z0-9_]", lambda sign: "\\\\" + sign.group(), "[%s]" % name if ":" in name else name) for name in called]
    return "instance=~\"(?:%s)(?::[0-9]+)?\"" % "|".join(words)


def target(question: Question, span: Span, called: t.Sequence[str], now_s: float) -> str:
    """The path of a question, below the address of the server."""
    words = question.words % {"at": matcher(called), "rate_s": max(span.every_s, 300)}
    end = int(now_s)
    asked = {"query": words, "start": end - span.back_s, "end": end, "step": span.every_s}
    return "/api/v1/query_range?" + urllib.parse.urlencode(asked)


def ask_all(ask: t.Callable[[str], str], called: t.Sequence[str], now_s: float, told: Told) -> None:
    """Put every question, until one is not answered that ends it; ``ask`` gives the text of the answer to a path, or raises Unanswered."""
    silent: set[str] = set()
    for span in (DAY, HOURS):
        for question in QUESTIONS:
            if question.exporter in silent:
                continue
            first = span is DAY and not any(answer.question.exporter == question.exporter for answer in told.answers)
            try:
                found = series(ask(target(question, span, called, now_s)))
            except Unanswered as problem:
                told.denied = told.denied or problem.denied
                told.problems.append(str(problem))
                if problem.last:
                    return
                # too much of a day may be little enough of two hours
                continue
            except ValueError as problem:
                # what answers rubbish once is no server to go on with
                told.problems.append(str(problem))
                return
            if found:
                told.answers.append(Answer(question, span, found))
            elif first:
                silent.add(question.exporter)
    told.complete = True
