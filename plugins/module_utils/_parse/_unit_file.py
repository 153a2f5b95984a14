# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read systemd's unit files, their drop-ins, and environment files, keeping the file and line of every setting.

Private to oncall.pressure: no stable interface. Pure: text in, plain data out. Source: systemd.syntax(7), systemd.exec(5).
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._parse import _shell_words

_VARIABLE = re.compile(r"[A-Za-z_]\w*")
_SECTION = re.compile(r"\[([^\]]+)\]\s*$")
_SPECIFIER = re.compile(r"%(.)")
_ESCAPED = re.compile(r"\\x([0-9a-fA-F]{2})")
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(us|ms|s|min|h|d|w|month|y)")
_SPAN_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "month": 2629800.0, "y": 31557600.0}


class Entry(t.NamedTuple):
    """One setting: its text (continuation lines kept as written), and where it stands."""

    value: str
    path: str
    line: int


def merge(files: t.Sequence[tuple[str, str]], section: str = "Service") -> dict[str, list[Entry]]:
    """The settings of one section of a unit's file and its drop-ins, in the order systemd reads them.

    An empty assignment takes back what was said before, as systemd does for its lists. ``files``: (path, text).
    """
    found: dict[str, list[Entry]] = {}
    for path, text in files:
        for here, key, value, line in _assignments(text):
            if here != section:
                continue
            if value.strip():
                found.setdefault(key, []).append(Entry(value, path, line))
            else:
                found[key] = []
    return found


def _assignments(text: str) -> t.Iterator[tuple[str, str, str, int]]:
    section = ""
    lines = text.split("\n")
    index = 0
    while index < len(lines):
        start, line = index, lines[index]
        index += 1
        stripped = line.strip()
        if not stripped or stripped[0] in "#;":
            continue
        heading = _SECTION.match(stripped)
        if heading:
            section = heading.group(1)
            continue
        while line.rstrip("\r").endswith("\\") and index < len(lines):
            # comments between continuation lines are passed over by whoever splits the words
            line += "\n" + lines[index]
            index += 1
            while lines[index - 1].lstrip()[:1] in ("#", ";") and lines[index - 1].strip() and index < len(lines):
                line += "\n" + lines[index]
                index += 1
        key, separator, value = line.partition("=")
        if separator:
            yield section, key.strip(), value.strip(), start + 1


def environment(entries: t.Sequence[Entry]) -> dict[str, Entry]:
    """The variables of ``Environment=`` lines, the last of each name; a line whose quotes are not closed sets nothing."""
    found: dict[str, Entry] = {}
    for entry in entries:
        try:
            words = _shell_words.split(entry.value.replace("\\\n", "  "), _shell_words.SYSTEMD)
        except _shell_words.Unsplittable:
            continue
        for word in words:
            name, separator, value = word.text.partition("=")
            if separator:
                found[name] = Entry(value, entry.path, entry.line)
    return found


def environment_file(path: str, text: str) -> dict[str, Entry]:
    """The variables of an environment file: ``NAME=value`` lines with optional quotes, # and ; comments, continuation lines."""
    found: dict[str, Entry] = {}
    lines = text.split("\n")
    index = 0
    while index < len(lines):
        start, line = index, lines[index]
        index += 1
        while line.endswith("\\") and index < len(lines):
            line = line[:-1] + lines[index]
            index += 1
        line = line.strip()
        if not line or line[0] in "#;":
            continue
        name, separator, value = line.partition("=")
        name = name.strip()
        # "export NAME" is no name: systemd passes over such a line (seen with 252)
        if separator and _VARIABLE.fullmatch(name):
            found[name] = Entry(_unquoted(value.strip()), path, start + 1)
    return found


def _unquoted(value: str) -> str:
    for quote in "\"'":
        if len(value) >= 2 and value[0] == quote and value.endswith(quote):
            inner = value[1:-1]
            return re.sub(r"\\([\"\\$`])", r"\1", inner) if quote == '"' else inner
    return value


def specifiers(text: str, unit: str) -> str:
    """The text with the specifiers that a unit's name answers (%n %N %p %i %I %j %%); others stay as they are written."""
    name = unit.rpartition(".")[0] or unit
    prefix, dummy, instance = name.partition("@")
    known = {"n": unit, "N": name, "p": prefix, "i": instance, "I": unescaped(instance), "j": prefix.rpartition("-")[2], "%": "%"}
    return _SPECIFIER.sub(lambda found: known.get(found.group(1), found.group()), text)


def unescaped(text: str) -> str:
    """An instance's name as it was before systemd-escape: dashes are slashes."""
    return _ESCAPED.sub(lambda found: chr(int(found.group(1), 16)), text.replace("-", "/"))


def shown(text: str) -> list[dict[str, str]]:
    """The output of ``systemctl show`` for several units: one dictionary a unit; of a property that stands twice, both lines."""
    units: list[dict[str, str]] = []
    current: dict[str, str] = {}
    for line in text.split("\n"):
        if not line:
            if current:
                units.append(current)
            current = {}
            continue
        key, separator, value = line.partition("=")
        if separator:
            current[key] = current[key] + "\n" + value if key in current else value
    if current:
        units.append(current)
    return units


def trouble(status: int | None, out: str, err: str, units: t.Sequence[t.Mapping[str, str]], cut: bool) -> str | None:
    """What is wrong with an answer of ``systemctl show``, null where nothing is. ``cut``: it was too long to be read to its end.

    A program in its place may say anything: an answer that names no unit in one of its parts is none.
    """
    if cut:
        return "systemctl show: its answer was too long and was not read to its end"
    if status != 0:
        return "systemctl show: " + (err.strip().split("\n")[0] or "status %s" % status)
    if out.strip() and not all(unit.get("Id") for unit in units):
        return "systemctl show: its answer was not understood"
    return None


def shown_argv(text: str) -> list[str]:
    """The arguments of the first ``{ path=... ; argv[]=... ; ...}`` that systemctl shows; its quoting is lost there."""
    found = re.search(r"argv\[\]=(.*?) ; ignore_errors=", text, re.DOTALL)
    return found.group(1).split() if found else []


def seconds(text: str) -> float | None:
    """A time span as systemctl shows it (``1min 30s``, ``500ms``); null for ``infinity`` and the empty text."""
    found = _SPAN.findall(text)
    return sum(float(number) * _SPAN_UNITS[unit] for number, unit in found) if found else None


def number(text: str | None) -> int | None:
    """A number; null for ``infinity``, ``[not set]``, the empty text, and the largest one, which means the same."""
    text = (text or "").strip()
    if not text.isdecimal() or len(text) > 20 or int(text) >= 1 << 60:
        return None
    return int(text)
