# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program that makes the same large document again and again. ``python3 -m scene_report`` does not end."""

from __future__ import annotations

import json


def report(rows):
    """One document, indented, which the library writes in Python."""
    return json.dumps(rows, indent=1)


def main():
    rows = [{"id": number, "name": "x" * 20, "tags": ["a", "b"]} for number in range(3000)]
    while True:
        report(rows)


if __name__ == "__main__":
    main()
