# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What rules look at in a container: whether its end is news, what its exit code says and does not say, room for its limit, its health.

Private to oncall.pressure: no stable interface. Every figure is null where something it is made of was not measured.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.plugin_utils._service_figures import kill_figures
from ansible_collections.oncall.pressure.plugins.plugin_utils._values import num, pct, ratio, text

#: What exit codes mean that a shell or an engine gives, or that stand for a signal (128 and its number).
_CODES: t.Final = {
    0: "it ended by itself, well",
    125: "its engine could not run it",
    126: "its command may not be run",
    127: "its command was not found",
    134: "it aborted itself (SIGABRT)",
    137: "it was killed by SIGKILL; by whom is not said",
    139: "it crashed (SIGSEGV)",
    143: "it was asked to end (SIGTERM)",
}


def container_figures(container: t.Mapping[str, t.Any], snapshot: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The figures under ``derived`` of a container."""
    limit = num(container, "memory", "limit_bytes")
    available = num(snapshot, "host", "memory", "available_bytes")
    code = num(container, "exit_code")
    finished = num(container, "finished_age_s")
    window = num(snapshot, "oom", "window_s")
    return {
        "kills": kill_figures({"id": container.get("id"), "memory": container.get("memory")}, snapshot),
        "ended_in_window": None if finished is None or window is None else finished <= window,
        "exit_words": None if code is None else _words(int(code), container.get("oom_killed") is True),
        # an engine that knows a container says whether it is healthy, where it has a way to tell
        "health": text(container, "health") or ("none" if isinstance(container.get("oom_killed"), bool) else None),
        "used_pct": pct(num(container, "memory", "bytes"), limit),
        "host_available_bytes": available,
        "host_available_pct": pct(available, num(snapshot, "host", "memory", "limit_bytes")),
        "host_room_ratio": ratio(available, limit),
    }


def _words(code: int, oom_killed: bool) -> str:
    if code == 137 and oom_killed:
        return "it was killed by SIGKILL, in its memory limit"
    return _CODES.get(code) or ("it was ended by signal %d" % (code - 128) if 128 < code < 193 else "it ended by itself, with a failure")
