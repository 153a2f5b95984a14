# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of service_concurrency: that of every changing module."""

from __future__ import annotations

from ansible_collections.oncall.pressure.plugins.action.incident import ActionModule as _Changing


class ActionModule(_Changing):
    """See :mod:`incident`."""
