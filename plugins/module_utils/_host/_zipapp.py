# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make one file of our own sources that a bare Python runs.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import importlib.util
import io
import marshal
import typing as t
import zipfile
import zlib

_HERE = "ansible_collections.oncall.pressure.plugins.module_utils"


#: What stands before compiled code that is not held against its source: that it is such, and eight bytes for a digest.
_UNCHECKED = b"\1\0\0\0"


def build(names: t.Sequence[str], main: str, compiled: bool = False) -> bytes:
    """A zip for ``python3 -I``: the named sources (relative to module_utils) as they are, not compressed, with fixed times.

    :param main: the module whose ``main()`` it starts.
    :param compiled: put what this very Python makes of each source beside it, for a program that is started often. Another Python takes the source.
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
            text = _source(name)
            _add(bundle, "/".join(parts) + ".py", text)
            if compiled:
                _put(bundle, "/".join(parts) + ".pyc", _compiled("/".join(parts) + ".py", text))
        _add(bundle, "__main__.py", "from %s.%s import main\n\nmain()\n" % (_HERE, main))
    return stream.getvalue()


def same(one: bytes, other: bytes) -> bool:
    """Whether two such programs have the same sources, compiled by the same Python. (The same source does not always give the same bytes compiled.)"""
    heads = _heads(one)
    return one == other or (heads is not None and heads == _heads(other))


def _heads(data: bytes) -> dict[str, bytes] | None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as bundle:
            return {name: bundle.read(name)[:16] if name.endswith(".pyc") else bundle.read(name) for name in bundle.namelist()}
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, zlib.error):
        return None


def _compiled(name: str, text: str) -> bytes:
    code = compile(text, name, "exec", dont_inherit=True)
    return importlib.util.MAGIC_NUMBER + _UNCHECKED + importlib.util.source_hash(text.encode("utf-8")) + marshal.dumps(code)


def _add(bundle: zipfile.ZipFile, name: str, text: str) -> None:
    _put(bundle, name, text.encode("utf-8"))


def _put(bundle: zipfile.ZipFile, name: str, data: bytes) -> None:
    bundle.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)


def _source(name: str) -> str:
    """A module's text, from a folder or from the zip in which Ansible sends it."""
    spec = importlib.util.find_spec(name)
    loader: t.Any = spec.loader if spec is not None else None
    text = loader.get_source(name) if loader is not None and hasattr(loader, "get_source") else None
    if text is None:
        raise ImportError("the source of %s is not to be had" % name)
    return str(text)
