# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Take the prefix off lines of a system log, in whatever form a person or a program wrote them down.

Private to oncall.pressure: no stable interface. Pure: text in, plain data out.

Forms: dmesg with uptime, with the wall clock (-T, -e, iso), with facility (-x); syslog, also with a year or a localised month;
RFC 3339 and RFC 5424; records of /dev/kmsg and of syslog(2); journalctl short, short-iso, short-full, short-monotonic, short-unix
and json; with caller ids, colours, the quote marks of mail, the file name that grep puts before; several messages glued together.
"""

from __future__ import annotations

import json
import re
import typing as t

#: No line is looked at beyond this many characters: the kernel's own bound is far below.
LINE_LIMIT = 16384


class Record(t.NamedTuple):
    """One message. stamp: its time as written, without brackets, null where there is none; uptime_s: where the time is the kernel's own clock;
    program: the program that a syslog tag names, "kernel" for the kernel's, "" where there is no tag; time_s: seconds since the epoch where known;
    headed: whether anything stood before the message (a line without a head may continue the one before)."""

    stamp: str | None
    uptime_s: float | None
    program: str
    message: str
    time_s: float | None = None
    headed: bool = True


_ANSI = re.compile(r"(?:\x1b|\^\[|#033)\[[0-9;]{0,16}[A-Za-z]")
_QUOTE = re.compile(r"^(?:[ \t]{0,8}[>|](?=[ \t>|\[<]|$))+[ \t]?")

_KMSG = re.compile(r"^\s{0,8}(?P<priority>\d{1,4}),\d{1,12},(?P<us>\d{1,18}),[-c+][^;\n]{0,100};(?P<message>.*)$", re.DOTALL)
_ESCAPE = re.compile(r"(?:\\x[0-9a-f]{2})+")

_MONTH = r"(?:[^\W\d_]{2,10}\.?|\d{1,2}月)"
_HMS = r"\d{1,2}:\d\d:\d\d(?:[.,]\d{1,9})?"
_ZONE = r"(?: ?Z\b| ?[+-]\d\d:?\d\d\b| (?:UTC|GMT|[A-Z]{1,3}[SD]?T|MSK)\b)"
_WALL = re.compile(
    r"(?<![\w./-])(?:"
    r"(?:[^\W\d_]{1,6}\.? )?\d{4}-\d\d-\d\d[T ]" + _HMS + _ZONE + r"?"
    r"|[^\W\d_]{1,6}\.?,? " + _MONTH + r" {1,2}\d{1,2} " + _HMS + r"(?: (?:[AP]M|[A-Z]{3,5}))? \d{4}"
    r"|\d{4} " + _MONTH + r" {1,2}\d{1,2} " + _HMS +
    r"|" + _MONTH + r" {1,2}\d{1,2},?(?: \d{4},?)? " + _HMS + _ZONE + r"?"
    r"|\d{1,2}[ /-]" + _MONTH + r"[ /:-](?:\d{4}[ :])?" + _HMS +
    r"|\d{1,4}[./]\d{1,2}[./]\d{1,4},?[ T]" + _HMS +
    r"|\d\d-\d\d " + _HMS +
    r"|1\d{9}\.\d{1,9}(?!\])"
    r"|" + _HMS +
    r")"
)

_KERNEL_TAG = r"(?<![\w.-])(?:kernel|klogd)(?:\[\d{1,10}\])?(?: {0,2}:|(?: -){2,3}(?= ))"
_PROGRAM_TAG = r"(?<![\w.-])(?P<program>[A-Za-z_][\w.+@/-]{0,63})\[\d{1,10}\]:(?=\s|$)"
_TAGGED = re.compile(_PROGRAM_TAG)
_UPTIME = r"\[ {0,12}(?P<uptime>\d{1,12}\.\d{1,9})(?:[ ,@<][^\]\n]{0,40})?\]"
_CLOCK = r"\[(?P<clock>[^\]\[\n]{0,40}?\d{1,2}:\d\d(?::\d\d)?[^\]\[\n]{0,16})\]"
_HEAD = re.compile("|".join((_KERNEL_TAG, _PROGRAM_TAG, _UPTIME, _CLOCK, r"^\s{0,8}(?P<cut>\d{1,12}\.\d{6})\]")))
# what may stand between the first part of the head and the message
_MORE = re.compile(
    r"\s{0,8}(?:"
    r"(?:[\w.-]{1,255} {1,4})?(?:" + _KERNEL_TAG + "|" + _PROGRAM_TAG + ")"
    r"|" + _UPTIME + "|" + _CLOCK +
    r"|\[ {0,8}(?:[TC]\d{1,10}|CPU\d{1,5}|\+\d{1,9}\.\d{1,9}|< {0,12}\d{1,12}\.\d{1,9}>)\]"
    r"|\(\d{1,4}\)\[\d{1,10}:[^\]\n]{1,24}\]"
    r"|<\d{1,3}>"
    r"|kern {0,3}:\w{2,6} {0,3}:"
    r")"
)
_ROW = re.compile(r"^\s{0,12}(?:<\d{1,3}>|kern {0,3}:\w{2,6} {0,3}:)")

# where a second message begins that was glued to the end of one
_GLUED = re.compile(
    r"(?<!^)(?:(?<!kernel:)(?<!kernel: )(?=\[ {0,8}\d{1,9}\.\d{6}\])"
    r"|(?=\[[^\W\d_]{1,6}\.? " + _MONTH + r" {1,2}\d{1,2} \d\d:\d\d:\d\d \d{4}\])"
    r"|(?<=[\s\d)B.])(?=" + _MONTH + r" {1,2}\d{1,2} \d\d:\d\d:\d\d [\w.-]{1,255} kernel:)"
    r"|(?<=[\s\d)B.])(?=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S{0,16} [\w.-]{1,255} kernel:))"
)
_MESSAGE = re.compile(r"[Kk]ill(?:ed)? process \d|oom-kill:|oom_reaper:|invoked oom-killer|killed as a result|out of memory:", re.IGNORECASE)


def records(text: str) -> t.Iterator[Record]:
    """Every line of a log, in order, without its prefix; glued messages apart, empty lines left out."""
    for line in text.split("\n"):
        line = _ANSI.sub("", line[:LINE_LIMIT]).strip("\r\0")
        line = _QUOTE.sub("", line)
        if not line.strip():
            continue
        for part in _unglue(line):
            yield record(part)


def record(line: str) -> Record:
    """One line without its prefix."""
    raw = _KMSG.match(line)
    if raw is not None:
        return _of_kmsg(raw)
    if line.lstrip().startswith("{"):
        found = from_journal(line)
        if found is not None:
            return found
    head = _HEAD.search(line)
    if head is None:
        return _headless(line)
    uptime, clock, program = None, None, ""
    part: re.Match[str] | None = head
    end = head.end()
    while part is not None:
        groups = part.groupdict()
        uptime = uptime or groups.get("uptime") or groups.get("cut")
        clock = clock or groups.get("clock")
        if groups.get("program"):
            program = groups["program"]
        elif part.group().rstrip().endswith(":") and "kern" in part.group() or " -" in part.group():
            program = "kernel"
        end = part.end()
        part = _MORE.match(line, end)
    wall = _WALL.search(line, 0, head.start())
    stamp = wall.group() if wall is not None else (clock or uptime)
    return Record(stamp.strip() if stamp else None, float(uptime) if uptime else None, program, line[end:].strip())


def _of_kmsg(raw: re.Match[str]) -> Record:
    """A record of /dev/kmsg. Programs may write there too; the kernel itself marks what they write with a facility above 0."""
    message, program = unescape(raw.group("message")), "kernel"
    if int(raw.group("priority")) >= 8:
        tag = _TAGGED.match(message)
        program = tag.group("program") if tag is not None else "user"
        message = message[tag.end():].strip() if tag is not None else message
    return Record(raw.group("us"), int(raw.group("us")) / 1e6, program, message)


def _headless(line: str) -> Record:
    """A line that names neither the kernel nor its clock: perhaps a time of day, else all message."""
    row = _ROW.match(line)
    start = row.end() if row is not None else 0
    wall = _WALL.match(line, start + len(line[start:]) - len(line[start:].lstrip(" \t(")))
    if wall is None:
        return Record(None, None, "kernel" if row is not None else "", line[start:].strip(), None, row is not None)
    return Record(wall.group().strip(), None, "", line[wall.end():].strip(" \t:)"))


def _unglue(line: str) -> list[str]:
    """The messages of one line; nearly always there is just one."""
    if not _MESSAGE.search(line):
        return [line]
    if "\\n" in line and not line.lstrip().startswith("{"):
        # line ends that some program wrote as two characters; the kernel and systemd write no such escape
        return [part for piece in line.split("\\n") for part in _unglue(piece) if part.strip()]
    parts, start = [], 0
    for found in _GLUED.finditer(line):
        # the prefix of a message is in two parts sometimes: what lies between must be a message
        if _is_message(line[start:found.start()]):
            parts.append(line[start:found.start()])
            start = found.start()
    parts.append(line[start:])
    return [part for part in parts if part.strip()]


def _is_message(part: str) -> bool:
    """Whether a piece of a line is a message of the kernel's, not just the first part of a prefix."""
    if _MESSAGE.search(part):
        return True
    row = record(part)
    return (row.uptime_s is not None or row.program == "kernel") and re.search(r"\w\w", row.message) is not None


def unescape(message: str) -> str:
    """The text of a message of /dev/kmsg, where the kernel writes a backslash and every byte that is not plain ASCII as \\xNN."""
    if "\\x" not in message:
        return message
    return _ESCAPE.sub(lambda found: bytes.fromhex(found.group().replace("\\x", "")).decode("utf-8", "backslashreplace"), message)


def from_journal(line: str) -> Record | None:
    """One line of ``journalctl -o json``; null where it is none. A message that is not text comes as a list of bytes."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or "MESSAGE" not in row:
        return None
    message = row["MESSAGE"]
    if isinstance(message, list):
        message = bytes(value for value in message if isinstance(value, int) and 0 <= value < 256).decode("utf-8", "backslashreplace")
    stamp = row.get("__REALTIME_TIMESTAMP")
    stamp = stamp if isinstance(stamp, str) and stamp.isdecimal() and len(stamp) <= 20 else None
    program = "kernel" if row.get("_TRANSPORT") == "kernel" else row.get("SYSLOG_IDENTIFIER")
    return Record(
        stamp, None, program if isinstance(program, str) else "", message[:LINE_LIMIT] if isinstance(message, str) else "",
        None if stamp is None else int(stamp) / 1e6,
    )
