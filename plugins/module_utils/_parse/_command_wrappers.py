# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs that start another program: how many words to pass over to come to it.

Private to oncall.pressure: no stable interface. Pure.
"""

from __future__ import annotations

import re
import typing as t

ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=")

_SHELLS = frozenset(("sh", "bash", "dash", "ash", "zsh", "ksh", "busybox"))


class Wrapper(t.NamedTuple):
    """How a wrapper's own words end: options that take a value, positional words of its own, words it must begin with (``run``)."""

    values: frozenset[str]
    positional: int = 0
    verbs: frozenset[str] = frozenset()


def _wrapper(values: str = "", positional: int = 0, verbs: str = "") -> Wrapper:
    return Wrapper(frozenset(values.split()), positional, frozenset(verbs.split()))


_RUN = _wrapper("--env-file -f --file --with --python -p --directory --project -C --extra --group --package --index-url --env -e --cwd", 0, "run")

_WRAPPERS: dict[str, Wrapper] = {
    "exec": _wrapper("-a"), "nohup": _wrapper(), "command": _wrapper(), "builtin": _wrapper(), "time": _wrapper("-f -o"),
    "setsid": _wrapper(), "stdbuf": _wrapper("-i -o -e"), "unbuffer": _wrapper(), "env": _wrapper("-u --unset -C --chdir"),
    "nice": _wrapper("-n --adjustment"), "ionice": _wrapper("-c -n -p --class --classdata"), "chrt": _wrapper("-T -P -D", 1),
    "taskset": _wrapper("", 1), "numactl": _wrapper("-m -N -C -p -i"), "timeout": _wrapper("-s --signal -k --kill-after", 1),
    "sudo": _wrapper("-u --user -g --group -C -h -p -r -t -T -D --chdir"), "doas": _wrapper("-u -C"), "gosu": _wrapper("", 1),
    "su-exec": _wrapper("", 1), "setuidgid": _wrapper("", 1), "s6-setuidgid": _wrapper("", 1),
    "chpst": _wrapper("-u -U -b -e -n -l -L -m -d -o -p -f -c -r -t -/"), "softlimit": _wrapper("-m -d -s -o -a"),
    "setpriv": _wrapper("--reuid --regid --groups --ambient-caps --inh-caps --bounding-set"),
    "runuser": _wrapper("-u --user -g --group -G"), "prlimit": _wrapper(), "flock": _wrapper("-w --timeout -E", 1),
    "chroot": _wrapper("", 1), "with-contenv": _wrapper(), "tini": _wrapper("-p -e"), "docker-init": _wrapper(),
    "dumb-init": _wrapper("-r --rewrite"), "catatonit": _wrapper(), "my_init": _wrapper(),
    "newrelic-admin": _wrapper("", 0, "run-program run-python"), "ddtrace-run": _wrapper(),
    "opentelemetry-instrument": _wrapper(
        "--exporter_otlp_endpoint --service_name --traces_exporter --metrics_exporter --logs_exporter "
        "--exporter_otlp_protocol --resource_attributes"
    ),
    "poetry": _RUN, "pipenv": _RUN, "uv": _RUN, "pdm": _RUN, "rye": _RUN, "dotenv": _RUN, "doppler": _RUN, "op": _RUN, "infisical": _RUN,
    "pixi": _RUN, "pyenv": _wrapper("", 0, "exec"), "hatch": _RUN,
    "coverage": _wrapper("--rcfile --source --omit --include --context --data-file", 0, "run"),
    "conda": _wrapper("-n --name -p --prefix --cwd", 0, "run"), "mamba": _wrapper("-n --name -p --prefix", 0, "run"),
    "micromamba": _wrapper("-n --name -p --prefix", 0, "run"), "xvfb-run": _wrapper("-n -s -f -e -p --server-args"),
    "memray": _wrapper("-o --output", 0, "run"),
    "watchmedo": _wrapper("-p --pattern --patterns -i --ignore-pattern --ignore-patterns -d --directory --interval --signal "
                          "--kill-after --debounce-interval", 0, "auto-restart"),
    "wait-for-it": _wrapper("-h --host -p --port -t --timeout", 1), "wait-for-it.sh": _wrapper("-h --host -p --port -t --timeout", 1),
    "wait-for": _wrapper("-t --timeout", 1), "dockerize": _wrapper("-wait -timeout -template -stdout -stderr -wait-retry-interval"),
    "chamber": _wrapper("", 1, "exec"), "aws-vault": _wrapper("", 1, "exec"), "honcho": _wrapper("-e -f", 0, "run"),
    "debugpy": _wrapper("--listen --log-to --configure-subProcess"), "CMD": _wrapper(), "ENTRYPOINT": _wrapper(),
    "strace": _wrapper("-o -e -s -p"), "systemd-run": _wrapper("-u --unit -p --property --slice --description -E --setenv"),
    "systemd-cat": _wrapper("-t -p --identifier --priority"), "envdir": _wrapper("", 1), "envuidgid": _wrapper("", 1),
    "fakeroot": _wrapper(), "winpty": _wrapper(), "systemd-inhibit": _wrapper("--what --who --why --mode"), "cgexec": _wrapper("-g"),
    "chronic": _wrapper(), "catchsegv": _wrapper(), "linux32": _wrapper(), "linux64": _wrapper(),
}

#: words that begin a shell's own constructions and stand before a command
KEYWORDS = frozenset(("if", "then", "else", "elif", "while", "until", "do", "!", "{", "("))

#: programs that name another one without starting it as a service
NOT_STARTERS = frozenset("""
    grep egrep fgrep rg ag pgrep pkill kill killall echo printf cat tail head less more vi vim nano emacs sed awk find ls which type man ps top htop
    pip pip3 apt apt-get dnf yum apk npm brew systemctl service supervisorctl journalctl chown chmod mkdir rm cp mv ln touch test [ [[ source . cd export
    set unset local read trap wait sleep true false return exit rsync scp git tar curl wget chkconfig monit sv svc
    rc-service invoke-rc.d initctl update-rc.d useradd adduser
    groupadd install id logger date alias declare eval shift case logrotate make virtualenv pytest nginx
""".split())


#: programs that start another one in a container, with these words among theirs: run, exec
CONTAINER_CLIENTS = frozenset(("docker", "podman", "docker-compose", "kubectl", "nerdctl", "lxc"))


def is_shell(name: str) -> bool:
    """Whether a program of this name is a shell."""
    return name in _SHELLS


def passed_over(name: str, words: t.Sequence[str]) -> int | None:
    """How many words belong to the wrapper ``name`` (``words[0]``) itself; null where it is no wrapper, or does not start a program here."""
    wrapper = _WRAPPERS.get(name)
    if wrapper is None:
        return None
    index = 1
    if wrapper.verbs:
        while index < len(words) and words[index] not in wrapper.verbs:
            if not words[index].startswith("-"):
                return None
            index += 2 if words[index] in wrapper.values else 1
        if index >= len(words):
            return None
        index += 1
    left = wrapper.positional
    while index < len(words):
        word = words[index]
        if word == "--":
            return index + 1
        if word.startswith("-") and word != "-":
            index += 2 if word in wrapper.values else 1
        elif name in ("env", "sudo", "doas", "prlimit", "with-contenv") and ASSIGNMENT.match(word):
            return index
        elif left:
            left -= 1
            index += 1
        else:
            break
    # what a wrapper takes of its own may go on after its positional words (wait-for-it HOST:PORT -t 30 -- program)
    if name.startswith(("wait-for", "chamber", "aws-vault")) and "--" in words:
        return list(words).index("--") + 1
    return index
