# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of pause_jobs: that of every changing module that says what it came to."""

from __future__ import annotations

from ansible_collections.oncall.pressure.plugins.action.service_concurrency import ActionModule as _Saying


class ActionModule(_Saying):
    """See :mod:`service_concurrency`."""
