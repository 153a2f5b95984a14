# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print one snapshot: python3 take.py FOLDER OPTIONS; FOLDER holds ansible_collections, OPTIONS are those of a snapshot as a JSON object."""

from __future__ import annotations

import json
import sys

sys.path.insert(0, sys.argv[1])

from ansible_collections.oncall.pressure.plugins.module_utils._components._snapshot import take
from ansible_collections.oncall.pressure.plugins.module_utils._host._collect import Options
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

options = Options(window_s=4.0, oom_window_s=3600.0, pss_budget_s=3.0, **json.loads(sys.argv[2]))
json.dump(take(Machine(), options, 100.0), sys.stdout)
