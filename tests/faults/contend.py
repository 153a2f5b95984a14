# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several operators at one host at the same moment: ``python3 contend.py < request.json``. Each is a process of its own that runs the real code.

The request has ``rounds``: each a list of driver requests. Of each round is told what everybody was answered, and every journal that was written.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any, Dict, List

import onhost

HERE = os.path.dirname(os.path.abspath(__file__))


def answer(text: str) -> Dict[str, Any]:
    for line in reversed(text.splitlines()):
        if line.startswith("{"):
            return json.loads(line)
    return {"failed": True, "msg": "no answer: " + text[-300:], "silent": True}


def meet(requests: List[Dict[str, Any]]) -> Dict[str, Any]:
    """All at once: each process has loaded everything and waits for the same moment."""
    moment = time.time() + 0.5 + 0.12 * len(requests)
    running = []
    for request in requests:
        words = [sys.executable, HERE + "/driver.py", json.dumps(dict(request, moment=moment))]
        running.append(subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
    said = [answer(process.communicate(timeout=120)[0].decode("utf-8", "backslashreplace")) for process in running]
    with open("/etc/crew/edited.conf", encoding="utf-8") as stream:
        content = stream.read()
    journals = [{"entry": row["entry"], "states": onhost.last_states(row["lines"]), "torn": row["torn"]} for row in onhost.journals()]
    return {"said": said, "content": content, "journals": journals}


def back() -> str:
    """Roll back whatever won."""
    words = [sys.executable, HERE + "/driver.py", json.dumps({"module": "incident", "arguments": {"state": "undone"}, "options": {}})]
    said = answer(subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False).stdout.decode("utf-8", "backslashreplace"))
    return "" if said.get("changed") and not said.get("failed") else json.dumps(said)


def main() -> None:
    asked = json.load(sys.stdin)
    rounds = []
    for requests in asked["rounds"]:
        onhost.clean({})
        row = meet(requests)
        row["back"] = back()
        with open("/etc/crew/edited.conf", encoding="utf-8") as stream:
            row["after"] = stream.read()
        rounds.append(row)
    json.dump(rounds, sys.stdout)


if __name__ == "__main__":
    main()
