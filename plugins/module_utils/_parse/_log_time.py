# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When a line of a log was written, in any of the forms that servers use.

Private to oncall.pressure: no stable interface. Pure: text in, seconds out.
"""

from __future__ import annotations

import calendar
import re
import typing as t

#: A line says its time within so many characters, a JSON text (keys in any order) within so many.
_HEAD = 160
_JSON_HEAD = 2048

_MONTHS: t.Final = {name: number for number, name in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)}
_CLOCK = r"(\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?"
_ZONE = r"( ?Z\b| ?[+-]\d\d(?::?\d\d)?(?![\d:-])| (?:UTC|GMT)\b)?"

# 2026-01-12T08:30:01.5Z, 2026/01/12 08:30:01 (nginx), 2026-01-12 08:30:01,123 (Python), 2026-01-12 08:30:01.1 CET (PostgreSQL)
_ISO = re.compile(r"(?<!\d)(\d{4})[-/.](\d\d)[-/.](\d\d)[T ]" + _CLOCK + _ZONE)
# 12/Jan/2026:08:30:01 +0000 (access logs), 12 Jan 2026 08:30:01.123 (Redis)
_DAY_FIRST = re.compile(r"(?<!\d)(\d{1,2})[/ -]([A-Z][a-z]{2})[/ -](\d{4})[: ]" + _CLOCK + _ZONE)
# Jan 12 08:30:01 (syslog), Mon Jan 12 08:30:01 2026
_MONTH_FIRST = re.compile(r"\b([A-Z][a-z]{2}) {1,2}(\d{1,2}) " + _CLOCK + r"(?: (\d{4})\b)?")
# 1768206601.123, as a word or a value of JSON
_EPOCH = re.compile(r"(?<![\d.])(1[5-9]\d{8}|2\d{9})(?:\.\d{1,9}|(\d{3}))?(?![\d.])")


def moment(line: str, now: float, offset_s: float) -> float | None:
    """Seconds since the epoch at which a line was written, null where it does not say.

    :param now: this moment: a time without a year is the latest one that is not to come
    :param offset_s: how far the host's own clock is ahead of UTC, for times without a zone
    """
    head = line[:_JSON_HEAD if line.lstrip(" ")[:1] == "{" else _HEAD]
    found = _ISO.search(head)
    if found is not None:
        year, month, day, hour, minute, second, fraction, zone = found.groups()
        return _seconds((int(year), int(month), int(day)), (hour, minute, second, fraction), zone, offset_s)
    found = _DAY_FIRST.search(head)
    if found is not None and found.group(2) in _MONTHS:
        day, name, year, hour, minute, second, fraction, zone = found.groups()
        return _seconds((int(year), _MONTHS[name], int(day)), (hour, minute, second, fraction), zone, offset_s)
    found = _MONTH_FIRST.search(head)
    if found is not None and found.group(1) in _MONTHS:
        name, day, hour, minute, second, fraction, year = found.groups()
        this_year = _year(now + offset_s)
        for candidate in (int(year),) if year else (this_year + 1, this_year, this_year - 1):
            at = _seconds((candidate, _MONTHS[name], int(day)), (hour, minute, second, fraction), None, offset_s)
            if at is not None and (year or at <= now + 86400.0):
                return at
        return None
    found = _EPOCH.search(head)
    return float(found.group(1)) if found is not None else None


def _year(local_s: float) -> int:
    # days of 400 years; off by one at a turn of the year at the worst, which the order of the candidates bears
    return 1970 + int(local_s // 86400 * 400 // 146097)


def _seconds(
    date: tuple[int, int, int], clock: tuple[str, str, str, str | None], zone: str | None, offset_s: float
) -> float | None:
    hour, minute, second, fraction = clock
    if date[0] < 1971 or not 1 <= date[1] <= 12 or not 1 <= date[2] <= 31:
        return None
    at = calendar.timegm((date[0], date[1], date[2], int(hour), int(minute), int(second)))
    zone = (zone or "").strip()
    if zone[:1] in ("+", "-"):
        digits = zone[1:].replace(":", "")
        ahead = int(digits[:2]) * 3600 + int(digits[2:4] or 0) * 60
        offset_s = -ahead if zone[0] == "-" else ahead
    elif zone:
        offset_s = 0
    return at - offset_s + (float("0." + fraction) if fraction else 0.0)
