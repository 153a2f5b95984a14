# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the product's own code on a host and stop exactly at one boundary: ``python3 driver.py REQUEST`` (JSON).

The product has no hook for this: the journal, the hands and the orders to systemd are wrapped here, in this process alone. At the boundary the
process writes what it is at to ``boundary.json`` and stops itself (SIGSTOP), so that the harness can do to it what it likes.

Boundaries are named by the journal's last line, and by what is about to be done or was done since:
``armed`` (the line is on the disk), ``armed > applying:0`` (the next line is about to be written),
``applying:0 > rename 50-x.conf`` and ``applying:0 = rename 50-x.conf`` (inside an operation: about to be done, done).
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
import typing as t

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

BASE = "ansible_collections.oncall.pressure.plugins."
MUTATING = ("start", "stop", "restart", "reload", "daemon-reload", "set-property", "enable", "disable")


class Boundaries:
    """Counts the boundaries as they are passed; stops at the one asked for."""

    def __init__(self, stop_at: t.Optional[str]) -> None:
        self.stop_at = stop_at
        self.last = ""
        self.seen: t.List[str] = []

    def pass_by(self, name: str) -> None:
        # The same act may come twice after one line of the journal.
        times = sum(1 for other in self.seen if other.partition(" #")[0] == name)
        name = name if not times else "%s #%d" % (name, times + 1)
        self.seen.append(name)
        if name == self.stop_at:
            self.mark({"pid": os.getpid(), "boundary": name, "journal": self.last})
            os.kill(os.getpid(), signal.SIGSTOP)

    def mark(self, row: t.Dict[str, t.Any]) -> None:
        path = os.path.join(HERE, "boundary.json")
        with open(path + ".new", "w", encoding="utf-8") as stream:
            json.dump(row, stream)
        os.rename(path + ".new", path)


def wrap(points: Boundaries) -> None:
    """Put the boundaries around the journal's lines and around every act of the hands."""
    journal = importlib.import_module(BASE + "module_utils._change._journal")
    files = importlib.import_module(BASE + "module_utils._host._files")
    systemctl = importlib.import_module(BASE + "module_utils._change._systemctl")
    write, call, send = journal.Journal.write, systemctl.call, files.Files.signal

    def write_line(self: t.Any, state: str, **more: t.Any) -> t.Any:
        label = state + (":%s" % more["operation"] if "operation" in more else "")
        points.pass_by("%s > %s" % (points.last or "start", label))
        written = write(self, state, **more)
        points.last = label
        points.pass_by(label)
        return written

    def around(what: str, act: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
        def acting(*positional: t.Any, **named: t.Any) -> t.Any:
            points.pass_by("%s > %s" % (points.last or "start", what))
            done = act(*positional, **named)
            points.pass_by("%s = %s" % (points.last or "start", what))
            return done
        return acting

    def call_systemctl(machine: t.Any, words: t.Sequence[str], *positional: t.Any, **named: t.Any) -> t.Any:
        verb = next((word for word in words if not word.startswith("-")), "")
        acting = around("systemctl " + verb, call) if verb in MUTATING else call
        return acting(machine, words, *positional, **named)

    class Acts:
        """The os module as _files sees it: changes of the file system are boundaries."""

        def __getattr__(self, name: str) -> t.Any:
            return getattr(os, name)

        @staticmethod
        def rename(source: str, target: str, **named: t.Any) -> None:
            around("rename", os.rename)(source, target, **named)

        @staticmethod
        def unlink(name: str, **named: t.Any) -> None:
            if name.startswith("."):
                # the temporary file of a write; there mostly is none
                os.unlink(name, **named)
            else:
                around("unlink", os.unlink)(name, **named)

    files.os = Acts()
    files.Files.signal = lambda self, pid, ticks, number: around("signal %d" % number, send)(self, pid, ticks, number)
    journal.Journal.write = write_line
    systemctl.call = call_systemctl


def defaults(arguments: t.Dict[str, t.Dict[str, t.Any]], given: t.Dict[str, t.Any]) -> t.Dict[str, t.Any]:
    return dict({name: row.get("default") for name, row in arguments.items()}, **given)


def plain_change(request: t.Dict[str, t.Any]) -> t.Dict[str, t.Any]:
    """A change made of operations, through the engine and without a module."""
    engine = importlib.import_module(BASE + "module_utils._change._engine")
    options = importlib.import_module(BASE + "module_utils._change._arguments")
    machine = importlib.import_module(BASE + "module_utils._host._machine").Machine()
    settings = options.settings_from(defaults(options.ARGUMENTS, request["options"]))
    plan = engine.Plan(mitigation=request["mitigation"], service=request["service"], operations=request["operations"], settle_s=request.get("settle_s", 0.5))
    return engine.run_change(machine, settings, plan, bool(request.get("check")), bool(request.get("diff")))


def module(name: str, arguments: t.Dict[str, t.Any], check: bool, diff: bool) -> None:
    """One of the product's modules as Ansible would run it; it ends the process."""
    basic = importlib.import_module("ansible.module_utils.basic")
    given = dict(arguments, _ansible_check_mode=check, _ansible_diff=diff)
    basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": given}).encode()
    basic._ANSIBLE_PROFILE = "legacy"
    sys.argv = [name]
    importlib.import_module(BASE + "modules." + name).main()


def undo_program(folder: str, words: t.List[str]) -> None:
    """The undo program's own start, from the same sources; it ends the process."""
    sys.argv = [folder + "/undo.pyz"] + words
    importlib.import_module(BASE + "module_utils._change._program").main()


def main() -> None:
    request = json.loads(sys.argv[1])
    points = Boundaries(request.get("stop_at"))
    points.last = request.get("last", "")
    wrap(points)
    status: t.Any = 0
    if "moment" in request:
        importlib.import_module(BASE + "module_utils._change._engine")
        time.sleep(max(request["moment"] - time.time(), 0.0))
    try:
        if "undo" in request:
            undo_program(request["undo"], request["words"])
        elif "module" in request:
            module(request["module"], dict(request["arguments"], **request["options"]), bool(request.get("check")), bool(request.get("diff")))
        else:
            json.dump(plain_change(request), sys.stdout)
            sys.stdout.write("\n")
            sys.stdout.flush()
    except SystemExit as end:
        status = end.code
    finally:
        if request.get("list"):
            with open(os.path.join(HERE, "points.json"), "w", encoding="utf-8") as stream:
                json.dump(points.seen, stream)
        if points.stop_at and not os.path.exists(os.path.join(HERE, "boundary.json")):
            points.mark({"pid": os.getpid(), "boundary": None, "journal": points.last, "ended": True, "seen": points.seen})
    sys.exit(status)


if __name__ == "__main__":
    main()
