# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Give an Ansible run an exit status of our own."""

from __future__ import annotations

import atexit
import os
import sys
import typing as t

DOCUMENTATION = r"""
name: end_badly
short_description: Have Ansible end with exit status 2 when it ends
description:
  - Lets the run go on, and ends it with exit status 2 once it is over, where the value is true. It always gives V(false).
  - A rescued failure does not count for Ansible, which then ends with 0. What a gate refused must be seen by who started the run all the same.
  - It is meant for the C(when) of a C(meta) task C(end_host), which is evaluated by the main process and ends nothing here.
version_added: 0.1.0
author:
  - oncall.pressure maintainers (@oncall-pressure)
options:
  _input:
    description: Whether it ended badly.
    type: bool
    required: true
"""

EXAMPLES = r"""
- name: End the run with status 2
  ansible.builtin.meta: end_host
  when: outcome.bad | oncall.pressure.end_badly
"""

RETURN = r"""
_value:
  description: V(false).
  type: bool
"""

_STATE = {"registered": False, "ending": False}


def end_badly(bad: t.Any) -> bool:
    """Register exit status 2 where ``bad`` is true. Gives false."""
    if bad and not _STATE["registered"]:
        _STATE["registered"] = True
        _STATE["pid"] = os.getpid()
        atexit.register(_end)
    return False


def _end() -> None:
    """Everything else that was to be done at the end, then the status. A worker that inherited this ends as it would."""
    if _STATE["ending"] or _STATE["pid"] != os.getpid():
        return
    _STATE["ending"] = True
    try:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        # also where nobody reads any more what is left to be written (a closed pipe)
        os._exit(2)


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Names and functions."""
        return {"end_badly": end_badly}
