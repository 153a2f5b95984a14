# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fold request targets so that one route is one path: no query, no identifiers, no host.

Private to oncall.pressure: no stable interface. Pure. Nothing is percent-decoded: a path is shown as it was logged.

Many paths are folded at once, joined with line feeds, because one substitution over a long text costs a fraction of
as many short ones.
"""

from __future__ import annotations

import re
import typing as t

#: The longest path kept, in bytes; a longer one is cut, its end shown as "...".
PATH_LIMIT = 200

# What must be there at all for a pattern to be tried, the pattern, what it becomes. Each looks at whole segments: from a slash to
# the next slash, dot or end. The order matters: an UUID may begin with digits.
_FOLDS = (
    # a query or fragment that is still there, and parameters of a segment (;jsessionid=...)
    (b"?", re.compile(rb"[?][^\n]*"), b""),
    (b"#", re.compile(rb"#[^\n]*"), b""),
    (b";", re.compile(rb";[^/\n]*"), b""),
    # the absolute form, as clients send it to a proxy
    (b"://", re.compile(rb"\n[A-Za-z]{2,10}://[^/\n]*"), b"\n"),
    (b"/", re.compile(rb"/[0-9]+(?=[/.\n])"), b"/{n}"),
    (b"-", re.compile(rb"/[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}(?=[/.\n])"), b"/{uuid}"),
    (b"/", re.compile(rb"/[0-9a-fA-F]{16,}(?=[/.\n])"), b"/{hex}"),
    # long segments with digits and capitals are tokens: each is another one, and some are secrets
    (b"/", re.compile(rb"/(?=[A-Za-z0-9_-]{32})(?=[^/.\n]*[0-9])(?=[^/.\n]*[A-Z])[A-Za-z0-9_-]+(?=[/.\n])"), b"/{token}"),
)


def fold_many(targets: t.Sequence[bytes]) -> list[bytes]:
    """One folded path for each request target, in order. Targets hold no line feed."""
    if not targets:
        return []
    text = b"\n" + b"\n".join([target if len(target) <= PATH_LIMIT else target[:PATH_LIMIT] + b"..." for target in targets]) + b"\n"
    for needed, pattern, folded in _FOLDS:
        if needed in text:
            text = pattern.sub(folded, text)
    return [path or b"/" for path in text[1:-1].split(b"\n")]


def fold(target: bytes) -> bytes:
    """The folded path of one request target."""
    return fold_many([target.replace(b"\n", b" ")])[0]
