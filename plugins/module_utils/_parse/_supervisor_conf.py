# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read supervisor's configuration: which programs it runs, with which command, folder, environment and count.

Private to oncall.pressure: no stable interface. Pure: text in, plain data out. Source: supervisord.org/configuration.html.
"""

from __future__ import annotations

import re
import typing as t

_EXPANSION = re.compile(r"%\((\w+)\)(\d*)([sd])")


class Value(t.NamedTuple):
    """One setting and its line."""

    text: str
    line: int


class Program(t.NamedTuple):
    """One ``[program:NAME]``."""

    name: str
    path: str
    command: Value
    directory: str | None
    environment: dict[str, Value]
    copies: int
    autostart: bool


def sections(text: str) -> dict[str, dict[str, Value]]:
    """An ini text as ``{section: {key: value}}``; continuation lines are joined with line ends, comments left out."""
    found: dict[str, dict[str, Value]] = {}
    section: dict[str, Value] = {}
    key = ""
    for index, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped[0] in "#;":
            continue
        if stripped.startswith("[") and "]" in stripped:
            section = found.setdefault(stripped[1: stripped.index("]")].strip(), {})
            key = ""
        elif line[0] in " \t" and key:
            section[key] = Value(section[key].text + "\n" + _uncommented(stripped), section[key].line)
        else:
            name, separator, value = stripped.partition("=") if "=" in stripped else stripped.partition(":")
            key = name.strip().lower() if separator else ""
            if key:
                section[key] = Value(_uncommented(value.strip()), index)
    return found


def _uncommented(value: str) -> str:
    return re.split(r"\s[;#]", value, maxsplit=1)[0].rstrip()


def included(parsed: t.Mapping[str, t.Mapping[str, Value]]) -> list[str]:
    """The patterns of ``[include] files``."""
    value = parsed.get("include", {}).get("files")
    return value.text.split() if value else []


def programs(path: str, parsed: t.Mapping[str, t.Mapping[str, Value]]) -> list[Program]:
    """The programs of one file."""
    found: list[Program] = []
    for name, section in parsed.items():
        kind, separator, program = name.partition(":")
        command = section.get("command")
        if kind not in ("program", "fcgi-program") or not separator or command is None:
            continue
        count = section.get("numprocs")
        directory = section.get("directory")
        autostart = section.get("autostart")
        found.append(Program(
            program.strip(), path, command, directory.text if directory else None, environment(section.get("environment")),
            int(count.text) if count and count.text.isdecimal() and len(count.text) <= 6 else 1,
            autostart is None or autostart.text.lower() not in ("false", "off", "no", "0"),
        ))
    return found


def environment(value: Value | None) -> dict[str, Value]:
    """``KEY="value",KEY2=value2`` as a dictionary."""
    found: dict[str, Value] = {}
    if value is None:
        return found
    for match in re.finditer(r"(\w+)\s*=\s*(\"(?:[^\"\\]|\\.)*\"|'[^']*'|[^,\n]*)\s*(?:,|\n|$)", value.text):
        text = match.group(2).strip()
        if len(text) >= 2 and text[0] in "\"'" and text[-1] == text[0]:
            text = text[1:-1]
        found[match.group(1)] = Value(text, value.line)
    return found


def expanded(text: str, values: t.Mapping[str, str]) -> str:
    """The text with ``%(name)s``, ``%(ENV_X)s`` and ``%(process_num)02d`` filled from ``values``; what is not there stays."""
    def fill(found: re.Match[str]) -> str:
        value = values.get(found.group(1))
        if value is None:
            return found.group()
        return value.zfill(int(found.group(2))) if found.group(2) and found.group(3) == "d" else value
    return _EXPANSION.sub(fill, text).replace("%%", "%")


def configuration(argv: t.Sequence[str]) -> str | None:
    """The configuration that supervisord's arguments name, null where they name none."""
    for index, word in enumerate(argv):
        if word in ("-c", "--configuration") and index + 1 < len(argv):
            return argv[index + 1]
        if word.startswith("--configuration="):
            return word.partition("=")[2]
        if re.match(r"-c.", word):
            return word[2:]
    return None
