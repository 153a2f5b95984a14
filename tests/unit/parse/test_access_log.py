# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A time window of a log, against a plain reading of all its lines; and logs that are hostile or strange."""

from __future__ import annotations

import datetime
import random
import re
import typing as t
from collections import Counter

import pytest
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _access_log
from ansible_collections.oncall.pressure.plugins.module_utils._parse._access_log import Budget, LogFile, Result, Window, read_window
from ansible_collections.oncall.pressure.plugins.module_utils._parse._log_format import COMBINED, LogFormat, compile_format
from ansible_collections.oncall.pressure.plugins.module_utils._parse._traffic import Tally

FORM = compile_format("combined", COMBINED)
TIMED = compile_format("timed", COMBINED + ' $request_time "$http_x_forwarded_for"')
NOW = 1700000000.0
ROUTES = ("/", "/users/%d", "/api/items/%d?page=%d", "/static/app.js", "/search?q=%d")


class Log:
    """Bytes as a log file, which knows how much of it was read."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.bytes_read = 0
        self.file = LogFile(self._read, len(data))

    def _read(self, offset: int, length: int) -> bytes:
        assert 0 <= offset and 0 <= length <= 16 * 1048576
        piece = self.data[offset:offset + length]
        self.bytes_read += len(piece)
        return piece


def endless() -> Budget:
    return Budget(2**60, lambda: False)


def window(seconds: float = 600.0, before: float = 3600.0, now: float = NOW) -> Window:
    return Window(now - seconds - before, now - seconds, now)


def line(
    moment: float, client: str = "203.0.113.9", target: str = "/", status: int = 200, size: int = 10, minutes: int = 0, agent: str = "curl/8", more: str = ""
) -> bytes:
    zone = datetime.timezone(datetime.timedelta(minutes=minutes))
    stamp = datetime.datetime.fromtimestamp(int(moment), zone).strftime("%d/%b/%Y:%H:%M:%S %z")
    return ('%s - - [%s] "GET %s HTTP/1.1" %d %d "-" "%s"%s\n' % (client, stamp, target, status, size, agent, more)).encode()


def generated(seed: int, lines: int, span: float, end: float = NOW, minutes: int = 0) -> t.List[bytes]:
    """Lines in order of time."""
    print("seed", seed)
    generator = random.Random(seed)
    clients = ["198.51.100.%d" % number for number in range(1, 60)] + ["2001:db8::%x" % number for number in range(1, 20)]
    moments = sorted(end - generator.random() * span for dummy in range(lines))
    made = []
    for moment in moments:
        target = re.sub("%d", lambda found: str(generator.randrange(5000)), generator.choice(ROUTES))
        made.append(line(moment, clients[int(generator.paretovariate(1)) % len(clients)], target, generator.choice((200, 200, 304, 404, 500)),
                         generator.randrange(100000), minutes))
    return made


class Plain(t.NamedTuple):
    """What a plain reading of every line gives."""

    requests: int
    clients: Counter
    paths: Counter
    status: Counter
    size: int
    before: int


def plain(lines: t.Iterable[bytes], span: Window) -> Plain:
    """The oracle: one line after the other, nothing shared with what is tested."""
    found = Plain(0, Counter(), Counter(), Counter(), 0, 0)
    requests = size = before = 0
    for one in lines:
        words = one.decode().split(" ")
        moment = datetime.datetime.strptime(words[3][1:] + " " + words[4][:-1], "%d/%b/%Y:%H:%M:%S %z").timestamp()
        if span.before <= moment < span.start:
            before += 1
        if not span.start <= moment <= span.end:
            continue
        requests += 1
        size += int(words[9])
        found.clients[words[0]] += 1
        found.paths["/".join("{n}" if part.isdigit() else part for part in words[6].split("?")[0].split("/"))] += 1
        found.status[words[8][0] + "xx"] += 1
    return found._replace(requests=requests, size=size, before=before)


def same(tally: Tally, expected: Plain) -> None:
    tally.top_paths(10)
    assert tally.requests == expected.requests
    assert {key.decode(): count for key, count in tally.clients.counts.items()} == expected.clients
    assert {key.decode(): count for key, count in tally.paths.counts.items()} == expected.paths
    assert {name: count for name, count in tally.status().items() if count} == expected.status
    assert (tally.bytes or 0) == expected.size
    assert tally.error_bound() == 0


def read(data: bytes, span: Window, form: LogFormat = FORM, tally: t.Optional[Tally] = None, budget: t.Optional[Budget] = None) -> t.Tuple[Result, Tally, Log]:
    log = Log(data)
    tally = tally or Tally()
    return read_window(log.file, form, span, tally, budget or endless()), tally, log


@pytest.mark.parametrize("lines", [0, 1, 7, 300, 10000])
@pytest.mark.parametrize("span", [300.0, 7200.0, 86400.0])
def test_the_window_is_what_a_plain_reading_finds(lines: int, span: float) -> None:
    made = generated(random.randrange(10**6), lines, span)
    result, tally, dummy = read(b"".join(made), window())
    expected = plain(made, window())
    same(tally, expected)
    assert (result.unparsed, result.reasons) == (0, ())
    if span == 86400.0 and lines == 10000:
        assert (result.before_requests, result.before_s) == (expected.before, 3600.0)


def test_little_of_a_long_log_is_read() -> None:
    made = generated(3, 15000, 86400.0)
    data = b"".join(made)
    result, tally, log = read(data, window(60.0, 60.0))
    assert tally.requests == plain(made, window(60.0)).requests
    assert log.bytes_read < len(data) / 3
    again, tally, longer = read(b"".join(generated(4, 30000, 86400.0 * 10, NOW - 86400.0)) + data, window(60.0, 60.0))
    assert again.requests == result.requests
    assert longer.bytes_read < log.bytes_read + 20 * 65536, "three times the file is two more steps of a search"


@pytest.mark.parametrize("minutes", [-570, 0, 345, 840])
def test_zones(minutes: int) -> None:
    made = generated(minutes, 3000, 7200.0, minutes=minutes)
    dummy, tally, log = read(b"".join(made), window())
    same(tally, plain(made, window()))


def test_the_end_of_summer_time() -> None:
    """The clock on the wall goes back by an hour; the log's times do not."""
    change = 1698541200.0
    made = generated(11, 2000, 5400.0, change, 120) + generated(12, 2000, 1800.0, change + 1800, 60)
    span = window(2400.0, 1200.0, change + 1800)
    result, tally, log = read(b"".join(made), span)
    expected = plain(made, span)
    same(tally, expected)
    assert (result.before_requests, result.reasons) == (expected.before, ())


def test_a_buffered_log_is_a_little_out_of_order() -> None:
    generator = random.Random(13)
    made = generated(14, 20000, 14400.0)
    # each worker writes its buffer when it is full: by up to half a minute late
    keyed = sorted(((index * 14400.0 / 20000 + generator.random() * 30, one) for index, one in enumerate(made)), key=lambda pair: pair[0])
    shuffled = [one for dummy, one in keyed]
    assert shuffled != made
    result, tally, log = read(b"".join(shuffled), window())
    same(tally, plain(made, window()))
    assert result.reasons == ()


def test_a_log_whose_times_run_backwards() -> None:
    made = generated(15, 3000, 900.0, NOW) + generated(16, 3000, 900.0, NOW - 20000.0) + generated(17, 3000, 900.0, NOW)
    result, tally, log = read(b"".join(made), window())
    same(tally, plain(made, window()))
    assert "run backwards" in result.reasons[0]
    assert result.before_requests is None


def test_times_in_the_future_are_not_the_window() -> None:
    made = generated(18, 500, 600.0) + [line(NOW + 5000)] * 3
    dummy, tally, log = read(b"".join(made), window())
    assert tally.requests == plain(made, window()).requests == 500


def test_an_old_log_has_no_requests() -> None:
    result, tally, log = read(b"".join(generated(19, 5000, 3600.0, NOW - 86400.0)), window())
    assert (tally.requests, result.requests, result.before_requests, result.covered_from) == (0, 0, 0, NOW - 600)


def test_how_far_back_the_log_reaches() -> None:
    made = [line(NOW - 1200 + number) for number in range(0, 1200, 5)]
    result, tally, log = read(b"".join(made), window())
    assert (result.first, result.before_requests, result.before_s) == (NOW - 1200, 120, 600.0)


def test_a_long_time_before_is_estimated_from_samples() -> None:
    generator = random.Random(25)
    made = [line(NOW - 4200 + number * 0.18, agent="x" * generator.randrange(20, 700)) for number in range(23300)]
    result, tally, log = read(b"".join(made), window())
    expected = plain(made, window())
    same(tally, expected)
    assert result.before_estimated
    assert result.before_requests == pytest.approx(expected.before, rel=0.04)
    assert result.before_s == 3600.0
    assert log.bytes_read < sum(map(len, made)) * 0.8


HOSTILE = (
    b"\x00" * 5000 + b"\n", b"\xff\xfe\x80" * 30 + b"\n", b"\n", b"\r\n", b"junk\n", b"\x1b[31m{{ lookup('pipe','id') }}\n",
    b'1.2.3.4 - - [20/Apr/2020:10:27:33 +0800] "GET /\n',
    b"x" * 1048576 + b"\n", b'"' * 70000 + b"\n", b"[" * 3000 + b"\n",
)


def test_hostile_lines_change_nothing_and_are_counted() -> None:
    generator = random.Random(20)
    made = generated(21, 12000, 7200.0)
    dirty, junk = [], 0
    inside = 0
    start = next(index for index, one in enumerate(made) if plain([one], window()).requests)
    for index, one in enumerate(made):
        if generator.random() < 0.01:
            piece = generator.choice(HOSTILE)
            dirty.append(piece)
            junk += 1
            inside += piece != b"\n" and index > start
        dirty.append(one)
    result, tally, log = read(b"".join(dirty), window())
    same(tally, plain(made, window()))
    assert inside <= result.unparsed <= junk
    assert inside > 0


def test_junk_before_the_first_line_is_counted() -> None:
    made = [line(NOW - 300 + number) for number in range(100)]
    result, tally, dummy = read(b"junk {{ x }}\n" * 200 + b"".join(made), window())
    assert (result.requests, result.unparsed, result.lines) == (100, 200, 300)


def test_binary_noise_is_a_client_without_a_path() -> None:
    noise = line(NOW - 5).replace(b"GET / HTTP/1.1", b"\\x16\\x03\\x01\\x02")
    dummy, tally, log = read(noise * 5 + line(NOW - 4), window())
    assert tally.requests == 6
    assert [(row["address"], row["requests"], [path["requests"] for path in row["paths"]]) for row in tally.top_clients(9, 600.0)] == [(b"203.0.113.9", 6, [1])]
    assert [(row["path"], row["requests"]) for row in tally.top_paths(9)] == [(b"/", 1)]


def test_what_a_client_was_refused_is_counted() -> None:
    """By the statuses that cost nothing; a missing page and a failed backend are answers."""
    asked = [line(NOW - 30 + number).replace(b" 200 ", b" %d " % status) for number, status in enumerate([200, 429, 403, 444, 404, 503, 429])]
    dummy, tally, log = read(b"".join(asked), window())
    assert [(row["requests"], row["refused"]) for row in tally.top_clients(9, 600.0)] == [(7, 4)]


@pytest.mark.parametrize("data", [
    b"", b"\n", b"\n\n\n", b"\x00" * 300000, b"x" * 300000, line(NOW - 1)[:-1], line(NOW - 1)[:40], b"x" * 200000 + b"\n" + line(NOW - 1),
])
def test_strange_files(data: bytes) -> None:
    result, tally, log = read(data, window())
    assert tally.requests == result.requests == (1 if data.rstrip(b"\n").endswith(b'curl/8"') else 0)


def test_a_format_that_does_not_fit_is_said() -> None:
    result, tally, log = read(b"".join(generated(22, 100, 60.0)), window(), compile_format("other", "$status|$time_iso8601|$remote_addr|$request"))
    assert tally.requests == 0
    assert "matches its format" in result.reasons[0]
    assert result.covered_from == window().end, "nothing was covered"


def test_a_format_without_time_is_said() -> None:
    result, tally, log = read(b"x\n", window(), compile_format("other", "$remote_addr $request"))
    assert result.reasons == ("its format has no time",)


def test_the_newest_is_read_when_bytes_run_out() -> None:
    made = [line(NOW - 600 + number / 50, agent="x" * 600) for number in range(30000)]
    data = b"".join(made)
    budget = Budget(len(data) // 3, lambda: False)
    result, tally, log = read(data, window(), budget=budget)
    share = (window().end - result.covered_from) / 600
    assert 0.25 < share < 0.45
    assert tally.requests == pytest.approx(30000 * share, rel=0.02)
    assert "only the newest" in result.reasons[0]
    assert log.bytes_read < len(data) / 2


def test_the_newest_is_read_when_time_runs_out() -> None:
    made = [line(NOW - 600 + number / 50, agent="x" * 600) for number in range(30000)]
    answers = iter([False] + [True] * 99)
    result, tally, log = read(b"".join(made), window(), budget=Budget(2**60, lambda: next(answers)))
    assert NOW - 600 < result.covered_from < NOW - 60
    assert tally.requests == pytest.approx((NOW - result.covered_from) * 50, rel=0.02)


def test_everything_different_is_bounded() -> None:
    tally = Tally()
    for start in range(0, 100000, 1000):
        block = b"".join(
            line(NOW, "10.%d.%d.%d" % (number >> 16, number >> 8 & 255, number & 255), "/%x/x" % (number * 7919)) for number in range(start, start + 1000)
        )
        tally.add(b"\n" + block[:-1], FORM)
    assert tally.requests == 100000
    assert len(tally.clients.counts) <= 2 * 32768 + 1000
    assert len(tally.paths.counts) <= 2 * 8192 + 16384
    assert 0 < tally.error_bound() <= 100000 / 8192
    assert tally.clients.distinct > 32768


def test_the_heaviest_are_found_among_many() -> None:
    generator = random.Random(23)
    tally = Tally()
    heavy = 0
    for dummy in range(80):
        lines = []
        for number in range(1000):
            if generator.random() < 0.2:
                heavy += 1
                lines.append(line(NOW, "192.0.2.66", "/login?x=%d" % generator.randrange(10**9)))
            else:
                lines.append(line(NOW, "10.%d.%d.%d" % tuple(generator.randrange(256) for part in range(3)), "/p%d" % generator.randrange(10**9)))
        tally.add(b"\n" + b"".join(lines)[:-1], FORM)
    client, path, pair = tally.top_clients(1, 600.0)[0], tally.top_paths(1)[0], tally.top_pairs(1)[0]
    assert client["address"] == pair["address"] == b"192.0.2.66"
    assert path["path"] == pair["path"] == b"/login"
    for row in (client, path, pair):
        assert heavy - 80000 / 8192 <= row["requests"] <= heavy


def test_details_of_a_share_of_the_blocks() -> None:
    made = generated(24, 30000, 600.0)
    expected = plain(made, window())
    dummy, tally, log = read(b"".join(made), window(), tally=Tally(detail_every=8))
    assert 0.05 < (tally.detail_share() or 0) < 0.25
    assert tally.requests == expected.requests
    assert tally.bytes == pytest.approx(expected.size, rel=0.1)
    assert tally.status()["5xx"] == pytest.approx(expected.status["5xx"], rel=0.2)
    for row in tally.top_paths(3):
        assert row["requests"] == expected.paths[row["path"].decode()]
        assert sum(row["status"].values()) == pytest.approx(row["requests"], rel=0.01)
        assert row["clients"] is None, "not counted of all"


def test_times_and_forwarded_addresses() -> None:
    made = [line(NOW - 60 + number / 10, "10.0.0.5", "/slow/%d" % number if number % 10 == 0 else "/quick", more=' %.3f "198.51.100.%d"' % (
        2.5 if number % 10 == 0 else 0.02, number % 40)) for number in range(500)]
    made += [line(NOW - 5, "10.0.0.6", "/quick", more=' - "-"')]
    dummy, tally, log = read(b"".join(made), window(), TIMED)
    assert tally.slow() == {"over_s": 1.0, "requests": 50, "p95_s": 2.5}
    rows = {row["path"]: row for row in tally.top_paths(5)}
    assert (rows[b"/slow/{n}"]["slowest_s"], rows[b"/slow/{n}"]["mean_s"], rows[b"/quick"]["mean_s"]) == (2.5, 2.5, 0.02)
    assert rows[b"/slow/{n}"]["time_share"] == pytest.approx(125 / 134, abs=0.001)
    assert (tally.forwards_for(b"10.0.0.5"), tally.forwards_for(b"10.0.0.6")) == (16, 0)


def test_without_times_there_are_none() -> None:
    dummy, tally, log = read(line(NOW - 1), window())
    assert tally.slow() is None
    assert (tally.top_paths(1)[0]["slowest_s"], tally.top_paths(1)[0]["time_share"]) == (None, None)


@pytest.mark.parametrize("seed", [random.randrange(10**6) for dummy in range(3)])
def test_blocks_lose_no_line(seed: int) -> None:
    print("seed", seed)
    generator = random.Random(seed)
    lines = [bytes(generator.choice(b"ab") for dummy in range(generator.choice((0, 1, 50, 3000)))) for dummy in range(400)]
    data = b"\n".join(lines) + b"\n"
    data += b"z" * 400000 + b"\n" + b"last"
    log = Log(data)
    seen, dropped = [], 0
    for block, lost in _access_log.blocks(log.file, 0, len(data)):
        assert not block or block.startswith(b"\n")
        seen += block.split(b"\n")[1:]
        dropped += lost
    assert [one for one in seen if one] == [one for one in lines + [b"last"] if one]
    assert dropped == 1
