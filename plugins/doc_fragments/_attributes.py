# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What modules of this collection have in common, for their documentation.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes: of every module, of those that only read, and of those that run on the controller alone."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying target.
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in C(check_mode)), when in diff mode.
  idempotent:
    description:
      - When run twice in a row outside check mode, with the same arguments, the second invocation indicates no change.
      - This assumes that the system controlled or queried by the module has not changed in a relevant way.
  platform:
    description: Target operating systems that can be operated against.
    support: full
    platforms: linux
"""

    INFO_MODULE = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - It only reads.
  diff_mode:
    support: N/A
    details:
      - It changes nothing.
  idempotent:
    support: full
    details:
      - It changes nothing.
"""

    CONTROLLER = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - It touches no host, and does the same.
  diff_mode:
    support: N/A
    details:
      - It changes no host.
  idempotent:
    support: full
    details:
      - It changes no host.
"""
