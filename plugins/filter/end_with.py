# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Give an Ansible run an exit status of our own."""

from __future__ import annotations

import sys
import typing as t

DOCUMENTATION = r"""
name: end_with
short_description: End the whole run with an exit status
description:
  - Ends C(ansible-playbook) with the given exit status where that is not 0, and gives back V(true) where it is 0.
  - It is meant for the C(when) of a C(meta) task, which is evaluated by the main process. Ansible itself has no means to end with a status that
    is not one of its own, and a fleet's watchdog wants to tell an incident from a failed run.
version_added: 0.1.0
author:
  - oncall.pressure maintainers (@oncall-pressure)
options:
  _input:
    description: The exit status.
    type: int
    required: true
"""

EXAMPLES = r"""
- name: End with 3 where an incident was found
  ansible.builtin.meta: end_play
  when: outcome.exit_status | oncall.pressure.end_with
"""

RETURN = r"""
_value:
  description: V(true).
  type: bool
"""


def end_with(status: t.Any) -> bool:
    """True for 0; any other status ends the process that evaluates it, output flushed."""
    if int(status) == 0:
        return True
    sys.stdout.flush()
    sys.stderr.flush()
    raise SystemExit(int(status))


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Names and functions."""
        return {"end_with": end_with}
