# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read YAML into plain data and remember the line of everything in it.

Private to oncall.pressure: no stable interface.

Only the plain types of YAML are known; anchors, aliases, tags and keys that occur twice are refused.
"""

from __future__ import annotations

import typing as t

import yaml

#: The largest rules file, in bytes.
FILE_LIMIT = 256 * 1024

#: The safe loader in C, several times as fast, where PyYAML has it.
_LOADER: t.Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Place = t.Tuple[t.Union[str, int], ...]


class BadFile(ValueError):
    """A file that cannot be used, with the file and the line."""

    def __init__(self, path: str, line: int, text: str) -> None:
        super().__init__("%s:%d: %s" % (path, line, text))


class Located(t.NamedTuple):
    """Plain data, and the line (from 1) of each place in it."""

    path: str
    data: t.Any
    lines: dict[Place, int]

    def line(self, place: Place) -> int:
        """The line of a place, or of the nearest thing around it."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)

    def problem(self, place: Place, text: str) -> BadFile:
        """What is wrong at a place, ready to be raised."""
        return BadFile(self.path, self.line(place), text)


def load(path: str) -> Located:
    """Read one YAML file. Raises BadFile (also where it cannot be read)."""
    try:
        with open(path, "rb") as stream:
            data = stream.read(FILE_LIMIT + 1)
    except OSError as problem:
        raise BadFile(path, 1, problem.strerror or "cannot be read") from None
    if len(data) > FILE_LIMIT:
        raise BadFile(path, 1, "larger than %d KiB" % (FILE_LIMIT // 1024))
    return parse(path, data)


def parse(path: str, data: bytes) -> Located:
    """Plain data of YAML text. Raises BadFile."""
    try:
        text = data.decode("utf-8")
        for event in yaml.parse(text, Loader=_LOADER):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise BadFile(path, event.start_mark.line + 1, "anchors and aliases are not used in rules")
        node = yaml.compose(text, Loader=_LOADER)
    except UnicodeDecodeError as problem:
        raise BadFile(path, data[: problem.start].count(b"\n") + 1, "not UTF-8") from None
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        said = getattr(problem, "problem", None) or "not YAML"
        raise BadFile(path, mark.line + 1 if mark else 1, str(said)) from None
    except RecursionError:
        raise BadFile(path, 1, "nested too deeply") from None
    lines: dict[Place, int] = {}
    return Located(path, _plain(path, node, (), lines) if node is not None else None, lines)


def _plain(path: str, node: yaml.Node, place: Place, lines: dict[Place, int]) -> t.Any:
    lines[place] = node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        return [_plain(path, item, (*place, index), lines) for index, item in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        return _scalar(path, node)
    found: dict[str, t.Any] = {}
    for key_node, value_node in node.value:
        key = _scalar(path, key_node)
        if not isinstance(key, str):
            raise BadFile(path, key_node.start_mark.line + 1, "a key must be text")
        if key in found:
            raise BadFile(path, key_node.start_mark.line + 1, "%s occurs twice" % key)
        found[key] = _plain(path, value_node, (*place, key), lines)
        lines[(*place, key)] = key_node.start_mark.line + 1
    return found


def _scalar(path: str, node: yaml.Node) -> t.Any:
    """The value of a scalar: text, number, true, false or null."""
    line = node.start_mark.line + 1
    if not isinstance(node, yaml.ScalarNode):
        raise BadFile(path, line, "a key must be text")
    kind = node.tag.rpartition(":")[2]
    if not node.tag.startswith("tag:yaml.org,2002:") or kind not in ("str", "int", "float", "bool", "null"):
        raise BadFile(path, line, "text, numbers, true, false and null are known here, not %s" % node.tag)
    if kind == "str":
        return node.value
    try:
        return yaml.safe_load(node.value)
    except yaml.YAMLError:
        raise BadFile(path, line, "not a value") from None
