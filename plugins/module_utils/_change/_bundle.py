# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The undo program: one file made of our own sources, which needs nothing but the host's Python.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import importlib.util
import io
import typing as t
import zipfile

NAME: t.Final = "undo.pyz"

_HERE = "ansible_collections.oncall.pressure.plugins.module_utils"

#: Everything that undoing imports, and nothing else (a contract test compares).
SOURCES: t.Final = (
    "_change._arming", "_change._bundle", "_change._file", "_change._health", "_change._journal", "_change._kinds", "_change._lease", "_change._program",
    "_change._registry", "_change._systemctl", "_change._undo", "_change._unit", "_host._files", "_host._machine", "_host._text",
)


def build() -> bytes:
    """A zip that ``python3 -I`` runs: sources as they are, not compressed, with fixed times. Raises ImportError where a source is not to be had."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as bundle:
        folders: set[str] = set()
        for short in SOURCES:
            name = "%s.%s" % (_HERE, short)
            parts = name.split(".")
            for end in range(1, len(parts)):
                folder = "/".join(parts[:end])
                if folder not in folders:
                    folders.add(folder)
                    _add(bundle, folder + "/__init__.py", "")
            _add(bundle, "/".join(parts) + ".py", _source(name))
        _add(bundle, "__main__.py", "from %s._change._program import main\n\nmain()\n" % _HERE)
    return stream.getvalue()


def _add(bundle: zipfile.ZipFile, name: str, text: str) -> None:
    bundle.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), text.encode("utf-8"))


def _source(name: str) -> str:
    spec = importlib.util.find_spec(name)
    loader: t.Any = spec.loader if spec is not None else None
    text = loader.get_source(name) if loader is not None and hasattr(loader, "get_source") else None
    if text is None:
        raise ImportError("the source of %s is not to be had" % name)
    return str(text)
