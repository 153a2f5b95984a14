# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collection's version as it travels to a target.

Private to oncall.pressure. A contract test holds it equal to galaxy.yml.
"""

from __future__ import annotations

VERSION = "0.1.0"
