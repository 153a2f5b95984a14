# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's one command; see --help."""

from __future__ import annotations

import argparse
import shutil
import sys
import time

import _containers
import _image
import _incidents
import _machine
import _runner
from _common import CACHE, LabError, say


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="lab", description="The lab: three containers and one machine running the real stack.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("tag", help="print the image's name and tag")
    commands.add_parser("image", help="build the image unless it is there")
    starting = commands.add_parser("up", help="build, start and wait for the containers")
    starting.add_argument("host", nargs="*")
    commands.add_parser("machine", help="boot the whole machine and wait for it")
    causing = commands.add_parser("incident", help="cause an incident and say what is true and how to undo it")
    causing.add_argument("name", nargs="?", help="without a name the incidents are listed")
    causing.add_argument("--list", action="store_true")
    causing.add_argument("--host")
    causing.add_argument("--seed", type=int)
    commands.add_parser("heal", help="undo every incident")
    _runner.arguments(commands.add_parser("run", help="cause every incident, diagnose it blind, compare, undo"))
    commands.add_parser("down", help="remove containers, network and machine; keep what was built")
    commands.add_parser("clean", help="down, and remove what was built")
    return parser.parse_args()


def main() -> int:
    asked = parse()
    started = time.monotonic()
    try:
        if asked.command == "tag":
            print(_image.tag())
        elif asked.command == "image":
            print(_image.build())
        elif asked.command == "up":
            _containers.up(asked.host)
        elif asked.command == "machine":
            _machine.up()
        elif asked.command == "incident":
            if asked.name is None or asked.list:
                for name in _incidents.names():
                    print("{0:34} {1}".format(name, _incidents.read(name)["title"]))
            else:
                _incidents.one(asked.name, asked.host, asked.seed)
        elif asked.command == "heal":
            return 1 if _incidents.heal() else 0
        elif asked.command == "run":
            return _runner.main(asked)
        elif asked.command in ("down", "clean"):
            _machine.down()
            _containers.down()
            if asked.command == "clean":
                _image.remove()
                shutil.rmtree(CACHE, ignore_errors=True)
    except LabError as problem:
        say(str(problem))
        return 1
    if asked.command not in ("tag", "incident"):
        say("{0}: {1:.0f} s".format(asked.command, time.monotonic() - started))
    return 0


if __name__ == "__main__":
    sys.exit(main())
