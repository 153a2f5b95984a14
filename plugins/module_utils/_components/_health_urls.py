# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask each service at the URL that its people named, a few times over the window: what its users get, and how long they wait for it.

Private to oncall.pressure: no stable interface. Nothing is asked that nobody named: a request runs the application's code.
"""

from __future__ import annotations

import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host import _probe
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options, Reading, ok
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine
from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean


def collect(machine: Machine, options: Options) -> Reading:
    """``[{service, url, tries, answered, good, status: {"200": n}, median_s, slowest_s, failure}]``, in the order of the names."""
    answers = _probe.ask_all(options.health_urls, options.window_s / _probe.TRIES)
    return ok([row(name, options.health_urls[name], answers[name]) for name in sorted(answers)])


def row(name: str, url: str, answers: t.Sequence[_probe.Answer]) -> dict[str, t.Any]:
    """What the document says of one URL. A status below 400 is good: a redirect to a login page is an answer. Query and fragment are left out."""
    status: dict[str, int] = {}
    for answer in answers:
        if answer.status is not None:
            status[str(answer.status)] = status.get(str(answer.status), 0) + 1
    times = sorted(answer.seconds for answer in answers if answer.status is not None)
    failures = [answer.why for answer in answers if answer.status is None]
    return {
        "service": clean(name, 200), "url": clean(url.partition("#")[0].partition("?")[0], 300), "tries": max(len(answers), 1), "answered": len(times),
        "good": sum(1 for answer in answers if answer.status is not None and 200 <= answer.status < 400), "status": status,
        "median_s": round(times[len(times) // 2], 3) if times else None, "slowest_s": round(times[-1], 3) if times else None,
        "failure": clean(failures[-1], 200) if failures else (None if answers else "no answer in %.0f s" % _probe.LIMIT_S),
    }
