# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What rules look at in the open files of a service: the worker that is nearest to its limit.

Private to oncall.pressure: no stable interface. Every figure is null where something it is made of was not measured.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.plugin_utils._values import num, ratio, rows

_KINDS = ("file", "socket", "pipe", "other")


def file_figures(service: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """``share`` of its limit that the worker nearest to it has open, its ``pid``, ``open`` and ``limit``; the ``kind`` of most, ``of_kind`` how many, and
    ``kind_share`` of all that it has open."""
    found: dict[str, t.Any] = {"share": None, "pid": None, "open": None, "limit": None, "kind": None, "of_kind": None, "kind_share": None}
    for worker in rows(service, "workers"):
        share = ratio(num(worker, "open_files"), num(worker, "open_files_limit"))
        if share is None or found["share"] is not None and share <= found["share"]:
            continue
        counts = [(count, kind) for kind in _KINDS for count in [num(worker, "open_kinds", kind)] if count is not None]
        most = max(counts, default=(None, None))
        found.update(share=share, pid=num(worker, "pid"), open=num(worker, "open_files"), limit=num(worker, "open_files_limit"), kind=most[1], of_kind=most[0],
                     kind_share=ratio(most[0], num(worker, "open_files")))
    return found
