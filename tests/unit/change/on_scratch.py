# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine at work on a host that exists for one scenario only: ``python on_scratch.py COLLECTIONS SCENARIO``, in namespaces of its own.

Its /etc, /run, /var/lib and /mnt are empty; systemd is not there, so that the watcher undoes. Prints one JSON object.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import Any, Callable, Dict, List

sys.path.insert(0, sys.argv[1])

from ansible_collections.oncall.pressure.plugins.module_utils._change import _closing, _engine, _listing
from ansible_collections.oncall.pressure.plugins.module_utils._change._arguments import ARGUMENTS, settings_from
from ansible_collections.oncall.pressure.plugins.module_utils._host._machine import Machine

PATH = "/mnt/folder/conf"
PLACES = ("/etc", "/run", "/var/lib", "/mnt")
PATIENCE_S = 60.0


def prepare() -> None:
    for place in PLACES:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755,size=16m", "scratch", place], check=True)
    os.mkdir("/mnt/folder", 0o755)
    put("old\n")


def put(text: str, path: str = PATH) -> None:
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)


def got(path: str = PATH) -> str:
    with open(path, encoding="utf-8") as stream:
        return stream.read()


def everything() -> Dict[str, Any]:
    """Every file that the scenario could have touched, with all that a look can tell of it but when it was last read."""
    found: Dict[str, Any] = {}
    for place in PLACES:
        for folder, folders, names in os.walk(place):
            for name in folders + names:
                path = os.path.join(folder, name)
                row = os.lstat(path)
                content = os.readlink(path) if os.path.islink(path) else open(path, "rb").read().hex() if os.path.isfile(path) else ""
                found[path] = [row.st_mode, row.st_uid, row.st_gid, row.st_nlink, row.st_ino, row.st_mtime_ns, row.st_ctime_ns, content]
    return found


def change(
    content: Any = "new\n", check: bool = False, settle_s: Any = 0.0, path: str = PATH, reversible: str = "fully", then: Any = (), **given: Any
) -> Dict[str, Any]:
    parameters = {name: row["default"] for name, row in ARGUMENTS.items()}
    parameters.update({"incident": "inc", "owner": "ann", "cool_down": 0}, **given)
    operation = {"kind": "file", "path": path, "content": content, "mode": "0644", "then": list(then)}
    plan = _engine.Plan("lower_workers", "shop", [operation], settle_s=settle_s, reversible=reversible)
    return _engine.run_change(Machine(), settings_from(parameters), plan, check_mode=check, diff=True)


def confirm(entry: str = "", settle_s: float = 0.0, otherwise: bool = True) -> Dict[str, Any]:
    return _closing.confirm(Machine(), "", entry, _closing.Probe("", [200], 1, 0.0, 1.0, settle_s), otherwise, False, "bob")


def back(entry: str = "", force: bool = False, check: bool = False) -> Dict[str, Any]:
    return _closing.take_back(Machine(), "", entry, force, check, "bob")


def rows() -> List[Dict[str, Any]]:
    return list(_listing.listing(Machine())["entries"])


def states() -> List[str]:
    return ["%s %s %s" % (row["entry"], row["state"], row["why"]) for row in rows()]


def until(there: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not there():
        if time.monotonic() > end:
            raise SystemExit("it never came: %s, %s" % (states(), got()))
        time.sleep(0.05)


def apart(scenario: str) -> "subprocess.Popen[str]":
    """A scenario in a process of its own, on the same host."""
    return subprocess.Popen([sys.executable, __file__, sys.argv[1], scenario, "again"], stdout=subprocess.PIPE, text=True)


def slow() -> Dict[str, Any]:
    return change(settle_s=300.0)


def slow_and_soon_due() -> Dict[str, Any]:
    return change(settle_s=300.0, confirm_within=3)


def another() -> Dict[str, Any]:
    return change(incident="inc-%d" % os.getpid(), content="%d\n" % os.getpid(), settle_s=0.2)


def check_mode() -> Dict[str, Any]:
    before = everything()
    said = change(check=True)
    untouched = everything() == before
    done = change()
    after = everything()
    again = change()
    same = everything() == after
    rolled = back(check=True)
    return {"said": said, "untouched": untouched, "done": done, "again": again, "same": same and everything() == after, "rolled": rolled, "text": got()}


def deadline() -> Dict[str, Any]:
    done = change(confirm_within=3)
    text = got()
    until(lambda: rows()[-1]["state"] == "undone")
    return {"done": done, "text": text, "after": got(), "states": states(), "confirmed": confirm("inc/01")}


def upon() -> Dict[str, Any]:
    """The older of two changes of one file is due first."""
    change("one\n", confirm_within=4)
    change("two\n", confirm_within=900)
    text = got()
    until(lambda: rows()[0]["state"] not in ("verified", "undoing"))
    return {"text": text, "after": got(), "states": states()}


def interrupted(number: int) -> Dict[str, Any]:
    run = apart("slow")
    until(lambda: bool(rows()) and rows()[-1]["state"] == "applied")
    text = got()
    os.kill(run.pid, number)
    said = json.loads(run.communicate()[0])
    return {"text": text, "after": got(), "said": said, "states": states(), "next": change()["state"]}


def killed() -> Dict[str, Any]:
    run = apart("slow_and_soon_due")
    until(lambda: bool(rows()) and rows()[-1]["state"] == "applied")
    text = got()
    run.kill()
    run.wait()
    until(lambda: rows()[-1]["state"] == "undone")
    return {"text": text, "after": got(), "states": states()}


def frozen() -> Dict[str, Any]:
    """A run that hangs with the lock when its time is over."""
    run = apart("slow_and_soon_due")
    until(lambda: bool(rows()) and rows()[-1]["state"] == "applied")
    os.kill(run.pid, signal.SIGSTOP)
    until(lambda: rows()[-1]["state"] == "undone")
    return {"after": got(), "states": states(), "status": run.wait()}


def late() -> Dict[str, Any]:
    """A run that still waits for its effect when its time is over puts back by itself."""
    run = apart("slow_and_soon_due")
    said = json.loads(run.communicate()[0])
    return {"after": got(), "states": states(), "said": said}


def confirmed() -> Dict[str, Any]:
    change("one\n")
    change("two\n")
    said = confirm()
    nothing = confirm()
    before = everything()
    order = back("inc/01")
    del order["entries"]
    untouched = {path: row[-1] for path, row in everything().items() if "/lease" not in path} == {
        path: row[-1] for path, row in before.items() if "/lease" not in path}
    # whoever made a plan while it waited means what still waits
    spared = _closing.take_back(Machine(), "", "inc/02", False, False, "bob", unconfirmed_only=True)
    kept = states()
    rolled = back()
    return {"said": said, "spared": spared, "nothing": nothing, "order": order, "untouched": untouched, "kept": kept, "rolled": rolled,
            "after": got(), "states": states(), "by": [row["by"] for row in rows()], "again": back()}


def confirm_too_slow() -> Dict[str, Any]:
    """Whoever watches for longer than the change has must not keep the host from undoing it."""
    # a change that is watched is one that tells a service; here nobody listens
    subprocess.run(["mount", "--bind", "/bin/true", shutil.which("systemctl") or ""], check=True)
    change(confirm_within=3, then=["reload:shop.service"])
    said = confirm(settle_s=6.0)
    return {"said": said, "after": got(), "states": states()}


def not_in_effect() -> Dict[str, Any]:
    change()
    put("theirs\n")
    said = confirm()
    failed = states()
    barred = change("more\n", incident="next")
    left = confirm("inc/01")
    after, ended = got(), states()
    return {"said": said, "failed": failed, "barred": barred, "left": left, "after": after, "states": ended, "next": change("more\n", incident="next")["state"]}


def left_to_the_host() -> Dict[str, Any]:
    change(confirm_within=5)
    os.unlink(PATH)
    said = confirm(otherwise=False)
    return {"said": said, "states": states()}


def lifetime() -> Dict[str, Any]:
    change(lifetime=3)
    said = confirm()
    text = got()
    until(lambda: rows()[-1]["state"] == "expired")
    return {"said": said, "text": text, "after": got(), "states": states()}


def refused() -> Dict[str, Any]:
    os.mkdir("/etc/oncall-pressure")
    put("", "/etc/oncall-pressure/read-only")
    before = everything()
    said = [change(check=True), change()]
    os.unlink("/etc/oncall-pressure/read-only")
    said += [change(check=True, reversible="no"), change(reversible="no")]
    same = set(everything()) == set(before) - {"/etc/oncall-pressure/read-only"}
    change(reversible="no", accept_irreversible=True)
    said += [change("more\n", check=True, incident="next"), change("more\n", incident="next")]
    return {"said": said, "same": same, "after": got()}


def mounted_over() -> Dict[str, Any]:
    put("host\n", "/mnt/with space")
    for target in (PATH, "/mnt/with space"):
        subprocess.run(["mount", "--bind", "/mnt/folder/conf", target], check=True)
    said = [change(), change(path="/mnt/with space")]
    return {"said": said, "after": got()}


def read_only_target() -> Dict[str, Any]:
    subprocess.run(["mount", "-o", "remount,ro", "/mnt"], check=True)
    return {"said": [change(check=True), change()], "after": got(), "states": states()}


def read_only_journal() -> Dict[str, Any]:
    subprocess.run(["mount", "-o", "remount,ro", "/var/lib"], check=True)
    return {"said": [change()], "after": got(), "states": states()}


def sizes() -> Dict[str, Any]:
    """Every size of a disk that is too small for the journal, the copies, the program or the reserve; the first that is not."""
    found: List[Any] = []
    for pages in list(range(1, 24)) + [40, 80, 160, 2000]:
        subprocess.run(["umount", "/var/lib"], check=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755,size=%dk" % (pages * 4), "scratch", "/var/lib"], check=True)
        said = change()
        found.append([pages, said["changed"], str(said.get("msg")), got(), states()])
        if said["changed"]:
            break
    return {"found": found}


def full_target() -> Dict[str, Any]:
    subprocess.run(["mount", "-o", "remount,size=64k", "/mnt"], check=True)
    before = os.listdir("/mnt/folder")
    said = change("x" * 200000)
    return {"said": said, "after": got(), "beside": os.listdir("/mnt/folder") == before, "states": states()}


def full_later() -> Dict[str, Any]:
    """The disk of the journal is full when the change is to be undone."""
    put("old\n" * 50000)
    change()
    fill("/var/lib/fill")
    said = back()
    return {"said": said, "after": got() == "old\n" * 50000, "states": states()}


def fill(path: str) -> None:
    try:
        with open(path, "wb", buffering=0) as stream:
            while True:
                stream.write(b"x" * 4096)
    except OSError:
        return


def fault_of_ours() -> Dict[str, Any]:
    problem = ""
    try:
        change(settle_s="soon")
    except TypeError as found:
        problem = type(found).__name__
    return {"problem": problem, "after": got(), "states": states()}


def race() -> Dict[str, Any]:
    runs = [apart("another") for dummy in range(5)]
    said = [json.loads(run.communicate()[0]) for run in runs]
    winners = [run.pid for run, row in zip(runs, said) if row.get("state") == "verified"]
    return {"said": said, "winners": winners, "after": got(), "states": states()}


def flag_that_leads_nowhere() -> Dict[str, Any]:
    os.mkdir("/etc/oncall-pressure")
    os.symlink("/no/where", "/etc/oncall-pressure/read-only")
    return {"said": change(), "after": got(), "listed": _listing.listing(Machine())["read_only"]}


def never_begun() -> Dict[str, Any]:
    """A run that was killed before it touched anything leaves nothing to wait for."""
    from ansible_collections.oncall.pressure.plugins.module_utils._change import _journal
    from ansible_collections.oncall.pressure.plugins.module_utils._host._files import Files
    folder = _journal.new_folder(Files(), "dead")
    _journal.Journal(Machine(), Files(), folder).write("intent", boot="x", sequence=1, run="dead", mitigation="m", service="shop", operations=[])
    said = change()
    return {"said": said["state"], "states": states()}


def main() -> None:
    name = sys.argv[2]
    if len(sys.argv) == 3:
        prepare()
    word, dummy, number = name.partition(":")
    print(json.dumps(interrupted(int(number)) if number else globals()[word]()))


main()
