# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Samples of memory over time: the lines that the recorder keeps on a host, and what is made of them.

Private to oncall.pressure: no stable interface. Pure: text in, plain data out. A line that is torn or is none of ours is passed over.

One line is one sample, in JSON: ``{"v": 1, "t": seconds since the epoch, "b": seconds since boot, "i": the boot's id, "h": [used, available, swap used],
"n": requests per second, "s": [[id, bytes, cpu, workers, worker_bytes, largest, median, [[pid, start_ticks, bytes], ...]], ...]}``; null is not measured.
"""

from __future__ import annotations

import json
import re
import typing as t

#: Where the recorder keeps them, and its files: those of the last hours as they were taken, and means of ten minutes; each has one older part.
FOLDER: t.Final = "/var/lib/oncall-pressure/history"
FINE: t.Final = FOLDER + "/samples"
COARSE: t.Final = FOLDER + "/means"
OLDER: t.Final = ".1"

#: The most bytes of a part, and of a line. A part is begun anew before it would be larger.
PART_BYTES: t.Final = 2097152
LINE_BYTES: t.Final = 16384

#: The most services of a sample, and the most workers of a service.
SERVICES: t.Final = 40
WORKERS: t.Final = 8

_MOST = 2.0 ** 60
_HEAD = re.compile(r'\{"v":1,"t":([0-9]{1,12}(?:\.[0-9]{1,9})?),"b":([0-9]{1,12}(?:\.[0-9]{1,9})?),"i":"([0-9a-f]{1,32})",')
_BOOT = re.compile(r"[0-9a-f]{1,32}\Z")


class Row(t.NamedTuple):
    """One service at one moment: bytes of the whole, CPUs used since the sample before, of its workers how many, all of them, the largest, the median."""

    id: str
    bytes: int
    cpu: float | None = None
    workers: int | None = None
    worker_bytes: int | None = None
    largest_bytes: int | None = None
    median_bytes: int | None = None
    #: (pid, start in ticks since boot, bytes), the largest first
    pids: tuple[tuple[int, int, int], ...] = ()


class Sample(t.NamedTuple):
    """One look at a host. ``at_s`` is the wall clock, which may be set; ``up_s`` counts from the boot ``boot`` and never goes back."""

    at_s: float
    up_s: float
    boot: str
    used: int | None
    available: int | None
    swap: int | None
    requests_per_s: float | None
    rows: tuple[Row, ...]


def line(sample: Sample) -> str:
    """A sample as a line without its end, of at most LINE_BYTES: what does not fit is left out, single workers first, then the smallest services."""
    rows = sorted(sample.rows, key=lambda row: (row.workers is None, -row.bytes))[:SERVICES]
    for keep in (WORKERS, 2, 0):
        listed = [[row.id, row.bytes, row.cpu, row.workers, row.worker_bytes, row.largest_bytes, row.median_bytes, [list(one) for one in row.pids[:keep]]]
                  for row in rows]
        text = _json(sample, listed)
        if len(text) <= LINE_BYTES:
            return text
    while listed and len(text) > LINE_BYTES:
        listed.pop()
        text = _json(sample, listed)
    return text


def _json(sample: Sample, listed: list[list[t.Any]]) -> str:
    return json.dumps({
        "v": 1, "t": round(sample.at_s, 1), "b": round(sample.up_s, 1), "i": sample.boot, "h": [sample.used, sample.available, sample.swap],
        "n": sample.requests_per_s, "s": listed,
    }, separators=(",", ":"))


class Stamp(t.NamedTuple):
    """When a sample was taken: all that is read of one to decide whether it is needed."""

    at_s: float
    up_s: float
    boot: str


def stamp(text: str) -> Stamp | None:
    """When the sample of a line was taken; null where it does not begin as one of ours."""
    found = _HEAD.match(text)
    return Stamp(float(found.group(1)), float(found.group(2)), found.group(3)) if found is not None else None


def sample(text: str, workers: bool = True) -> Sample | None:
    """One line; null where it is none of ours. Single workers are half the work, and are left out where they are not needed."""
    if not text.startswith("{") or len(text) > LINE_BYTES:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or value.get("v") != 1:
        return None
    at_s, up_s, boot, host, rows = (value.get(key) for key in ("t", "b", "i", "h", "s"))
    if _number(at_s) is None or _number(up_s) is None or not isinstance(boot, str) or not _BOOT.match(boot):
        return None
    if not isinstance(host, list) or len(host) != 3 or not isinstance(rows, list):
        return None
    used, available, swap = (_whole(one) for one in host)
    parsed = [row for row in (_row(one, workers) for one in rows[:SERVICES]) if row is not None]
    return Sample(float(at_s), float(up_s), boot, used, available, swap, _number(value.get("n")), tuple(parsed))


def _row(value: t.Any, single: bool) -> Row | None:
    if not isinstance(value, list) or len(value) != 8 or not isinstance(value[0], str) or not value[0] or not isinstance(value[7], list):
        return None
    size = _whole(value[1])
    if size is None:
        return None
    workers, all_bytes, largest, median = (_whole(one) for one in value[3:7])
    pids = [tuple(map(_whole, one)) for one in value[7][:WORKERS if single else 0] if isinstance(one, list) and len(one) == 3]
    whole = [t.cast("tuple[int, int, int]", one) for one in pids if None not in one]
    return Row(value[0][:200], size, _number(value[2]), workers, all_bytes, largest, median, tuple(whole))


def _number(value: t.Any) -> float | None:
    """A number that can be one of ours, else null (true, NaN, what is below nothing)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _MOST:
        return None
    return float(value)


def _whole(value: t.Any) -> int | None:
    found = _number(value)
    return None if found is None else int(found)


def age_s(one: Sample | Stamp, now_s: float, up_s: float, boot: str) -> float | None:
    """How long ago a sample was taken; null where that cannot be said.

    Of this boot the boot's own clock says it, whatever was done to the wall clock. Of an earlier one the wall clock does, and it must be older than the boot.
    """
    if one.boot == boot and one.up_s <= up_s + 1.0:
        return max(up_s - one.up_s, 0.0)
    age = now_s - one.at_s
    # a boot that began before the samples of the one before it ended: one of the two clocks was wrong
    return age if age >= up_s - 1.0 and (one.boot != boot or age > 0) else None


def mean(samples: t.Sequence[Sample]) -> Sample | None:
    """The means of some samples, at the time of the last; null of none. Of workers, those that the last one lists."""
    if not samples:
        return None
    last = samples[-1]
    rows: dict[str, list[Row]] = {}
    for one in samples:
        for row in one.rows:
            rows.setdefault(row.id, []).append(row)
    merged = [_mean_row(found) for found in rows.values()]
    used, available, swap = (_mean([getattr(one, name) for one in samples]) for name in ("used", "available", "swap"))
    return last._replace(used=used, available=available, swap=swap, rows=tuple(merged), requests_per_s=mean_of([one.requests_per_s for one in samples]))


def _mean_row(rows: t.Sequence[Row]) -> Row:
    last = rows[-1]
    sizes: dict[tuple[int, int], list[int]] = {}
    for row in rows:
        for pid, start, size in row.pids:
            sizes.setdefault((pid, start), []).append(size)
    whole = [_mean([getattr(row, name) for row in rows]) for name in ("workers", "worker_bytes", "largest_bytes", "median_bytes")]
    pids = tuple((pid, start, sum(sizes[pid, start]) // len(sizes[pid, start])) for pid, start, dummy in last.pids)
    return Row(last.id, sum(row.bytes for row in rows) // len(rows), mean_of([row.cpu for row in rows]), whole[0], whole[1], whole[2], whole[3], pids)


def mean_of(values: t.Iterable[float | None]) -> float | None:
    """The mean of those that were measured; null where none was."""
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), 3) if known else None


def _mean(values: t.Iterable[int | None]) -> int | None:
    found = mean_of(values)
    return None if found is None else int(found)


_T = t.TypeVar("_T")


def spread(rows: t.Sequence[tuple[float, _T]], most: int) -> list[list[tuple[float, _T]]]:
    """Rows of (age, anything), the oldest first, in at most ``most`` groups that each cover as much time as any other; groups without a row are left out."""
    if len(rows) <= most:
        return [[row] for row in rows]
    oldest = rows[0][0]
    width = max((oldest - rows[-1][0]) / most, 1e-9)
    groups: dict[int, list[tuple[float, _T]]] = {}
    for row in rows:
        groups.setdefault(min(int((oldest - row[0]) / width), most - 1), []).append(row)
    return [groups[place] for place in sorted(groups)]


def spacing_s(ages: t.Sequence[float]) -> float | None:
    """The usual time between rows, from their ages; null of fewer than two."""
    steps = sorted(abs(one - other) for one, other in zip(ages, ages[1:]))
    return round(steps[len(steps) // 2], 1) if steps else None
