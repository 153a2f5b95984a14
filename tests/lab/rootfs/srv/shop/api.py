# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same small application without a framework, for uvicorn: see web.py for what it can be asked."""

from __future__ import annotations

import asyncio
import json
import os
from urllib.parse import parse_qs

import work


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            kind = message["type"].rsplit(".", 1)[1]
            await send({"type": "lifespan.{0}.complete".format(kind)})
            if kind == "shutdown":
                return
    asked = parse_qs(scope["query_string"].decode("ascii", "replace"))

    def number(name):
        return float(asked.get(name, ["0"])[0])

    status = 200
    if number("pid") not in (0.0, float(os.getpid())):
        status = 409
    else:
        work.keep(int(number("hold")))
        work.keep_up_to(int(number("fill")))
        work.burn(number("burn"))
        await asyncio.sleep(number("sleep"))
    body = json.dumps({"pid": os.getpid(), "kept_mib": work.kept_mib()}).encode()
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})
