# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Give one setting of a configuration file another value, and leave every other byte of the file as it is.

Private to oncall.pressure: no stable interface. Pure: text in, text out. Bytes that are no UTF-8 are to come, and go, as surrogates.

What was written is read again: unless that one setting alone differs, it is refused. A refusal says what a person can do.
"""

from __future__ import annotations

import ast
import re
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._parse import _python_literals, _rewrite_command, _supervisor_conf, _unit_file
from ansible_collections.oncall.pressure.plugins.module_utils._parse._command_line import Refused

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|$)")
_PLAIN = re.compile(r"[\w.,:/@%+=-]*")
_SPECIAL = {'"': "\"\\$`", "'": "'"}
_HEADS = {"gunicorn": "gunicorn ", "uvicorn": "uvicorn ", "celery": "celery worker "}


# Python


def python_setting(text: str, names: t.Sequence[str], value: int) -> str | Refused:
    """A Python configuration file with another plain value for the first of ``names`` that it sets; one that is computed is refused."""
    try:
        before = _python_literals.assignments(text)
    except ValueError as problem:
        return Refused("%s: set %s to %d by hand" % (problem, names[0], value))
    name = next((name for name in names if name in before), None)
    if name is None:
        return Refused("it does not set %s: add %s = %d" % (" or ".join(names), names[0], value))
    where = before[name].line
    node = _constant(text, name)
    if before[name].value is _python_literals.COMPUTED or node is None:
        return Refused("line %d computes %s: write %s = %d in its place" % (where, name, name, value))
    start, end = _place(text, node.lineno, node.col_offset), _place(text, node.end_lineno or node.lineno, node.end_col_offset or 0)
    rewritten = text[:start] + str(value) + text[end:]
    after = _python_literals.assignments(rewritten)
    others = sorted(key for key in before if key != name and (key not in after or after[key].value != before[key].value))
    if others or name not in after or after[name].value != value:
        return Refused("line %d: %s would change too: set %s to %d by hand" % (where, ", ".join(others) or "more", name, value))
    return rewritten


def _constant(text: str, name: str) -> ast.Constant | None:
    """The constant that the last assignment at the top level gives to one name alone; null where it is anything else."""
    found: ast.expr | None = None
    for statement in ast.parse(text).body:
        if isinstance(statement, ast.Assign):
            targets = [target for target in statement.targets if isinstance(target, ast.Name)]
            if any(target.id == name for target in targets):
                found = statement.value if len(statement.targets) == 1 else None
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.target.id == name:
            found = statement.value or found
    return found if isinstance(found, ast.Constant) else None


def _place(text: str, line: int, column: int) -> int:
    """Where a place of the syntax tree (line from 1, bytes of UTF-8) is in the text."""
    position = 0
    for dummy in range(line - 1):
        found = _LINE.match(text, position)
        position = found.end() if found else position
    found = _LINE.match(text, position)
    return position + len((found.group() if found else "").encode("utf-8")[:column].decode("utf-8"))


# environment files and units


def environment_line(text: str, name: str, value: str) -> str | Refused:
    """An environment file with another value for a variable that it sets, in the quotes that it has."""
    before = _unit_file.environment_file("", text)
    if name not in before:
        return Refused("it does not set %s: add %s=%s" % (name, name, value))
    lines = text.split("\n")
    number = before[name].line
    line = lines[number - 1]
    found = re.fullmatch(r"(\s*%s\s*=\s*)(.*?)(\s*)" % re.escape(name), line, re.DOTALL)
    if found is None or line.endswith("\\"):
        return Refused("line %d goes on in the next: set %s to %s by hand" % (number, name, value))
    old = found.group(2)
    quote = old[0] if len(old) >= 2 and old[0] in "\"'" and old[-1] == old[0] else ""
    if not quote and not _PLAIN.fullmatch(value) and _PLAIN.fullmatch(old):
        quote = '"'
    if quote and any(letter in _SPECIAL[quote] for letter in value) or "\n" in value:
        return Refused("line %d: the value needs other quotes: set %s to %s by hand" % (number, name, value))
    lines[number - 1] = found.group(1) + quote + value + quote + found.group(3)
    rewritten = "\n".join(lines)
    after = _unit_file.environment_file("", rewritten)
    if dict(before, **{name: before[name]._replace(value=value)}) != after:
        return Refused("line %d: more than %s would change: set it to %s by hand" % (number, name, value))
    return rewritten


def unit_environment(name: str, value: str) -> str:
    """A line of a unit that sets a variable. Line ends in the value must have been refused."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return 'Environment="%s=%s"' % (name, escaped)


def arguments(value: str, program: str, settings: t.Mapping[str, int | str]) -> str | Refused:
    """The options in a variable (GUNICORN_CMD_ARGS, CELERYD_OPTS) with other settings, in the spelling and quotes that they have."""
    head = _HEADS.get(program)
    if head is None:
        return Refused("%s takes no options from a variable" % program)
    if "\n" in value or re.search(r"(?:^|\s)[;#]", value):
        return Refused("its value cannot be read: set %s by hand" % ", ".join(settings))
    found = _rewrite_command.rewrite(head + value, "supervisor", settings)
    if isinstance(found, Refused):
        return found
    return found[len(head):] if value.strip() else found[len(head):].strip()


# supervisor


def supervisor_command(text: str, program: str, settings: t.Mapping[str, int | str], variables: t.Mapping[str, str] | None = None) -> str | Refused:
    """A supervisor configuration with other settings in the command of one program."""
    span = _span(text, program, "command")
    if span is None:
        return Refused("it has no command for the program %s" % program)
    start, end = span
    rewritten = _rewrite_command.rewrite(text[start:end], "supervisor", settings, variables)
    if isinstance(rewritten, Refused):
        return rewritten
    return _checked(text, text[:start] + rewritten + text[end:], program, "command")


def supervisor_copies(text: str, program: str, count: int) -> str | Refused:
    """A supervisor configuration with another ``numprocs`` of one program."""
    span = _span(text, program, "numprocs")
    found = re.match(r"(\s*numprocs\s*[=:]\s*)(\d+)", text[span[0]: span[1]], re.IGNORECASE) if span is not None else None
    if span is None or found is None:
        return Refused("the program %s has no numprocs that is a number: it runs once" % program)
    start = span[0] + found.start(2)
    return _checked(text, text[:start] + str(count) + text[start + len(found.group(2)):], program, "numprocs")


def _span(text: str, program: str, wanted: str) -> tuple[int, int] | None:
    """Where the last setting of a key of one program stands, continuation lines included, the line end not."""
    span: tuple[int, int] | None = None
    section = key = ""
    position = 0
    for line in text.splitlines(True):
        stripped = line.strip()
        bare = position + len(line.rstrip("\r\n"))
        if not stripped or stripped[0] in "#;":
            pass
        elif stripped.startswith("[") and "]" in stripped:
            section, key = stripped[1: stripped.index("]")].strip(), ""
        elif line[0] in " \t" and key:
            if span is not None and key == wanted and _is_program(section, program):
                span = (span[0], bare)
        else:
            name, separator, dummy = stripped.partition("=") if "=" in stripped else stripped.partition(":")
            key = name.strip().lower() if separator else ""
            if key == wanted and _is_program(section, program):
                span = (position, bare)
        position += len(line)
    return span


def _is_program(section: str, program: str) -> bool:
    kind, separator, name = section.partition(":")
    return bool(separator) and kind in ("program", "fcgi-program") and name.strip() == program


def _checked(before: str, after: str, program: str, key: str) -> str | Refused:
    """The new text, if reading it tells of no other difference."""
    old, new = _plain(before), _plain(after)
    differing = {(section, name) for section in set(old) | set(new) for name in set(old.get(section, {})) | set(new.get(section, {}))
                 if old.get(section, {}).get(name) != new.get(section, {}).get(name)}
    if all(_is_program(section, program) and name == key for section, name in differing):
        return after
    return Refused("more than %s of %s would change: change it by hand" % (key, program))


def _plain(text: str) -> dict[str, dict[str, str]]:
    return {section: {key: value.text for key, value in values.items()} for section, values in _supervisor_conf.sections(text).items()}
