# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make one file of our own sources that a bare Python runs.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import importlib.util
import io
import typing as t
import zipfile

_HERE = "ansible_collections.oncall.pressure.plugins.module_utils"


def build(names: t.Sequence[str], main: str) -> bytes:
    """A zip for ``python3 -I``: the named sources (relative to module_utils) as they are, not compressed, with fixed times.

    :param main: the module whose ``main()`` it starts.
    Raises ImportError where a source is not to be had.
    """
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as bundle:
        folders: set[str] = set()
        for short in names:
            name = "%s.%s" % (_HERE, short)
            parts = name.split(".")
            for end in range(1, len(parts)):
                folder = "/".join(parts[:end])
                if folder not in folders:
                    folders.add(folder)
                    _add(bundle, folder + "/__init__.py", "")
            _add(bundle, "/".join(parts) + ".py", _source(name))
        _add(bundle, "__main__.py", "from %s.%s import main\n\nmain()\n" % (_HERE, main))
    return stream.getvalue()


def _add(bundle: zipfile.ZipFile, name: str, text: str) -> None:
    bundle.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), text.encode("utf-8"))


def _source(name: str) -> str:
    """A module's text, from a folder or from the zip in which Ansible sends it."""
    spec = importlib.util.find_spec(name)
    loader: t.Any = spec.loader if spec is not None else None
    text = loader.get_source(name) if loader is not None and hasattr(loader, "get_source") else None
    if text is None:
        raise ImportError("the source of %s is not to be had" % name)
    return str(text)
