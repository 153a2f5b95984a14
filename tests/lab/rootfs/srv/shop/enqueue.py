# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Give a celery queue work: python3 -m enqueue BROKER QUEUE COUNT KWARGS, the last a JSON object for shop.report."""

from __future__ import annotations

import json
import sys

from celery import Celery


def main():
    broker, queue, count, kwargs = sys.argv[1:5]
    app = Celery("shop", broker=broker)
    for unused in range(int(count)):
        app.send_task("shop.report", kwargs=json.loads(kwargs), queue=queue)


if __name__ == "__main__":
    main()
