# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small Flask shop. Any path answers; query arguments ask for work:

burn=S   seconds of CPU          hold=N   keep N more MiB in this worker
sleep=S  seconds of waiting      fill=N   fill this worker's cache to N MiB
pid=P    only worker P does the work, any other answers 409 and its own pid
"""

from __future__ import annotations

import os

import work
from flask import Flask, jsonify, request

app = Flask(__name__)


@app.route("/", defaults={"path": ""})
@app.route("/<path:path>")
def answer(path):
    asked = request.args
    if asked.get("pid", type=int) not in (None, os.getpid()):
        return jsonify(pid=os.getpid(), kept_mib=work.kept_mib()), 409
    work.keep(asked.get("hold", 0, type=int))
    work.keep_up_to(asked.get("fill", 0, type=int))
    work.burn(asked.get("burn", 0.0, type=float))
    work.nap(asked.get("sleep", 0.0, type=float))
    return jsonify(pid=os.getpid(), path=path, kept_mib=work.kept_mib())
