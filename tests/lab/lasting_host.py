# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On a host that may be spoilt, as root: the lasting form of a worker count, for every way to start a program that we know of.

``lasting_host.py SEED``, the collection on PYTHONPATH. Each unit is started as it is and its workers are counted; the lasting form is planned
and written; systemd is asked what changed; the unit is started again and counted; it is undone and systemd asked again.
Prints a JSON line a case: name, outcome (right, refused, wrong), detail.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from typing import Any, Dict, List

from ansible_collections.oncall.pressure.plugins.module_utils._change import _file
from ansible_collections.oncall.pressure.plugins.module_utils._change._kinds import Hands, Refused
from ansible_collections.oncall.pressure.plugins.module_utils._controls import _lasting, _lasting_unit
from ansible_collections.oncall.pressure.plugins.module_utils._host._files import Files
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

WEB, VENV = "/usr/bin/gunicorn", "/srv/venv/bin"
FILES = {
    "/srv/last/app.py": "def app(environ, start):\n    start('200 OK', [])\n    return [b'x']\n\n\nasync def asgi(scope, receive, send):\n    pass\n",
    "/srv/last/jobs.py": "from celery import Celery\napp = Celery('jobs', broker='redis://127.0.0.1/9')\napp.conf.worker_concurrency = OLD\n",
    "/srv/last/conf.py": "workers = OLD\n",
    "/srv/last/variable.sh": "#!/bin/sh\nexec gunicorn -b 127.0.0.1:PORT --workers ${HOW_MANY:-OLD} app:app\n",
    "/srv/last/file.sh": "#!/bin/sh\nexec gunicorn -c conf.py -b 127.0.0.1:PORT app:app\n",
    "/srv/last/fixed.sh": "#!/bin/sh\nexec " + VENV + "/celery -A jobs worker -c OLD --without-mingle\n",
    "/etc/default/last": "# variables\nHOW_MANY='OLD'\nGUNICORN_CMD_ARGS=\"--workers OLD --timeout 33\"\nOPTIONS=--timeout 40 --workers OLD\n",
    "/etc/default/last-multi": "CELERY_BIN=" + VENV + "/celery\nNODES=w1\nCELERYD_OPTS=\"--time-limit=300 --concurrency=OLD\"\n",
}
CELERY = VENV + "/celery -A jobs worker --without-mingle"
#: by name: what the unit says
UNITS: Dict[str, List[str]] = {
    "plain": ["ExecStart=" + WEB + " \\\n    -b 127.0.0.1:PORT \\\n# why\n    --workers=OLD --env \"A=b c%%d\" -n %n app:app"],
    "joined": ["ExecStart=@" + WEB + " renamed -b 127.0.0.1:PORT -wOLD app:app"],
    "twice": ["ExecStart=" + WEB + " -w 1 -b 127.0.0.1:PORT --workers OLD app:app"],
    "variable": ["Environment=N=OLD", "ExecStart=" + WEB + " -b 127.0.0.1:PORT --workers ${N} app:app"],
    "file-beats": ["Environment=N=1", "EnvironmentFile=/etc/default/last-n", "ExecStart=" + WEB + " -b 127.0.0.1:PORT --workers ${N} app:app"],
    "arguments": ["EnvironmentFile=/etc/default/last", "ExecStart=" + WEB + " -b 127.0.0.1:PORT app:app"],
    "options": ["EnvironmentFile=/etc/default/last", "ExecStart=" + WEB + " $OPTIONS -b 127.0.0.1:PORT app:app"],
    "configured": ["ExecStart=" + WEB + " -c /srv/last/conf.py -b 127.0.0.1:PORT app:app"],
    "concurrency": ["Environment=WEB_CONCURRENCY=OLD", "ExecStart=" + VENV + "/python -m uvicorn --port PORT app:asgi"],
    "application": ["ExecStart=" + CELERY],
    "shell": ["ExecStart=/bin/sh -c 'exec " + CELERY + " -c\"OLD\" 2>&1'"],
    "autoscale": ["ExecStart=" + CELERY + " --autoscale=OLD,OLD"],
    "pool": ["ExecStart=" + VENV + "/rq worker-pool --url redis://127.0.0.1/9 q -n OLD"],
    "instance@7": ["ExecStart=" + WEB + " -b 127.0.0.1:PORT -w OLD -n last-%i app:app"],
    "overridden": ["ExecStart=" + WEB + " -b 127.0.0.1:PORT -w 1 app:app"],
    "script-variable": ["EnvironmentFile=/etc/default/last", "ExecStart=/srv/last/variable.sh"],
    "script-file": ["ExecStart=/bin/sh /srv/last/file.sh"],
    "script-fixed": ["ExecStart=/srv/last/fixed.sh"],
    "forking": ["Type=forking", "PIDFile=/run/last.pid", "ExecStartPre=/bin/true",
                "ExecStart=" + WEB + " -D -p /run/last.pid -b 127.0.0.1:PORT -w OLD app:app"],
    "multi": ["Type=forking", "PIDFile=/run/last-w1.pid", "EnvironmentFile=/etc/default/last-multi",
              "ExecStart=/bin/sh -c '${CELERY_BIN} multi start $NODES -A jobs --pidfile=/run/last-%%n.pid --logfile=/run/last-%%n.log $CELERYD_OPTS'"],
}
#: what must be left to a person
REFUSED = ("script-fixed",)


def systemctl(*words: str) -> str:
    return subprocess.run(["systemctl", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, check=False).stdout.strip()


def put(path: str, text: str, values: Dict[str, str]) -> None:
    for word, value in values.items():
        text = text.replace(word, value)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)
    os.chmod(path, 0o755 if path.endswith(".sh") else 0o644)


def workers(pid: int) -> int:
    """How many children a process has, without Python's own tracker of resources."""
    found = 0
    for name in os.listdir("/proc"):
        try:
            with open("/proc/%s/stat" % name, "rb") as stream:
                fields = stream.read().rpartition(b")")[2].split()
            with open("/proc/%s/cmdline" % name, "rb") as stream:
                arguments = stream.read()
        except (OSError, ValueError):
            continue
        found += int(fields[1]) == pid and fields[0] not in (b"Z", b"X") and b"resource_tracker" not in arguments
    return found


def counted(unit: str, wanted: int) -> int:
    """The workers of a unit that was just started: when they are as many as wanted and stay so, or after half a minute."""
    systemctl("restart", unit)
    until, same, count = time.monotonic() + 30, 0, 0
    while time.monotonic() < until and same < 5:
        time.sleep(0.3)
        count = workers(int(systemctl("show", "--property=MainPID", "--value", unit) or 0) or -1)
        same = same + 1 if count == wanted else 0
    systemctl("stop", unit)
    return count


def case(name: str, old: int, new: int, hands: Hands) -> Dict[str, Any]:
    unit = "last-%s.service" % name
    before = _lasting_unit.commands(hands.machine, unit)
    count = counted(unit, old)
    if count != old:
        return {"outcome": "wrong", "detail": "%d workers at first, not %d" % (count, old)}
    try:
        found = _lasting.plan(hands.machine, unit, {"workers": new})
    except Refused as problem:
        return {"outcome": "refused" if name in REFUSED else "wrong", "detail": str(problem)}
    states = []
    for number, operation in enumerate(found.operations):
        operation["number"] = number
        states.append(_file.look(hands, operation))
        _file.save(hands, operation, states[-1])
        _file.apply(hands, operation, states[-1])
    wrong = _lasting_unit.check(hands.machine, unit, before, found.wanted)
    if _lasting.plan(hands.machine, unit, {"workers": new}).operations:
        wrong.append("a second plan has something to do")
    count = counted(unit, new)
    if count != new:
        wrong.append("%d workers, not %d" % (count, new))
    for operation, state in zip(found.operations, states):
        _file.undo(hands, operation, state, False)
    if _lasting_unit.commands(hands.machine, unit) != before:
        wrong.append("undone, systemd says something else than before")
    return {"outcome": "wrong" if wrong else "right", "detail": "; ".join(wrong) or found.where}


def prepare(ports: Dict[str, int], old: int) -> None:
    for path, text in FILES.items():
        name = "script-" + os.path.basename(path)[:-3]
        put(path, text, {"OLD": str(old), "PORT": str(ports.get(name, 0))})
    put("/etc/default/last-n", "N=OLD\n", {"OLD": str(old)})
    for name, lines in UNITS.items():
        text = "[Service]\nWorkingDirectory=/srv/last\nEnvironment=C_FORCE_ROOT=1 PYTHONDONTWRITEBYTECODE=1\n" + "\n".join(lines) + "\n"
        file = name.replace("@7", "@")
        put("/etc/systemd/system/last-%s.service" % file, text, {"OLD": str(old), "PORT": str(ports[name])})
    put("/etc/systemd/system/last-overridden.service.d/zzz-other.conf",
        "[Service]\nExecStart=\nExecStart=" + WEB + " -b 127.0.0.1:PORT -w OLD app:app\n", {"OLD": str(old), "PORT": str(ports["overridden"])})
    systemctl("daemon-reload")
    systemctl("start", "redis-server.service")


def main() -> int:
    drawn = random.Random(int(sys.argv[1]))
    old = drawn.randrange(3, 6)
    new = drawn.randrange(1, old)
    prepare({name: 18000 + number for number, name in enumerate(UNITS)}, old)
    folder = "/root/last"
    os.makedirs(folder, mode=0o700, exist_ok=True)
    hands = Hands(Machine(), Files(), folder)
    names = sorted(UNITS)
    drawn.shuffle(names)
    for name in names:
        # WEB_CONCURRENCY=1 has uvicorn serve by itself, without a child
        wanted = max(new, 2) if name == "concurrency" else new
        print(json.dumps(dict(case(name, old, wanted, hands), name=name, old=old, new=wanted)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
