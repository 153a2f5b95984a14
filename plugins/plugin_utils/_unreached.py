# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Say in one line why a host could not be measured, and what to set.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import re
import shlex
import typing as t

from ansible_collections.oncall.pressure.plugins.module_utils._host._text import clean

#: (pattern over what Ansible said, what it means, what to do); the first that matches is told.
_CAUSES = (
    (r"(?:Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED)", "its ssh host key is not the known one", "check it and mend known_hosts"),
    (r"Permission denied \(|Authentication failed|Invalid/incorrect password", "ssh refused the login", "check the user and the key"),
    (r"Could not resolve hostname|Name or service not known", "its name does not resolve", "check ansible_host"),
    (r"Connection refused", "nothing listens on its ssh port", "check ansible_host and ansible_port"),
    (r"Connection timed out|timed out|Operation timed out|No route to host|unreachable", "it does not answer",
     "check the network, or try again with a longer -T"),
    (r"Connection (?:reset|closed)|Broken pipe|kex_exchange_identification|Shared connection to .* closed", "it dropped the connection",
     "it may be out of memory or processes; try its console"),
    (r"No space left on device", "its disk is full", "set ansible_remote_tmp=/dev/shm, or free some space"),
    (r"Cannot allocate memory|MemoryError|[Ff]ork(?:: retry)?: |Resource temporarily unavailable", "it has no memory or processes left to run anything",
     "use its console"),
    (r"Read-only file system", "its disk is read-only", "set ansible_remote_tmp=/dev/shm"),
)

_BECOME_CAUSES = (
    (r"not in the sudoers|not allowed to execute", "the user may not use sudo"),
    (r"(?:missing|a password is required)", "sudo wants a password (give it with -K)"),
    (r"incorrect", "the sudo password was wrong"),
    (r"timed? ?out", "sudo did not answer in time"),
    (r"not found", "sudo is not installed"),
)

_NO_PYTHON = re.compile(
    r"(?:No such file or directory|not found|No python interpreters found|interpreter .{0,80} was not found|cannot execute|bad interpreter)", re.IGNORECASE
)

_OLD_PYTHON = re.compile(
    r"requires a minimum of Python|future feature annotations is not defined|SyntaxError: invalid syntax|from __future__ imports"
    r"|No module named ['\"]?(?:importlib|ansible)", re.IGNORECASE)

#: Where to look for a Python beside the one that was used.
_PLACES = (
    "/usr/bin/python3 /usr/bin/python3.[0-9] /usr/bin/python3.[0-9][0-9] "
    "/usr/local/bin/python3 /usr/local/bin/python3.[0-9][0-9] /usr/libexec/platform-python"
)


def explain(result: t.Mapping[str, t.Any]) -> str:
    """One line of a failed module result: what is wrong and what to do next. The text of the host in it is harmless."""
    text = _text(result)
    for pattern, meaning, advice in _CAUSES:
        if re.search(pattern, text):
            return "%s; %s (%s)" % (meaning, advice, clean(_said(text), 120))
    kind = "not reached" if result.get("unreachable") else "the measurement failed"
    return "%s: %s" % (kind, clean(_said(text), 200))


def _text(result: t.Mapping[str, t.Any]) -> str:
    return " ".join(str(result.get(name) or "") for name in ("msg", "module_stderr", "module_stdout", "exception"))[:16384]


def is_python(result: t.Mapping[str, t.Any]) -> bool:
    """Whether a failed module result says that the host has no Python, or one that is too old."""
    if result.get("unreachable"):
        return False
    text = _text(result)
    return bool(_OLD_PYTHON.search(text)) or "No python interpreters found" in text or bool(_NO_PYTHON.search(text) and result.get("rc") in (None, 126, 127))


def list_pythons(used: str) -> str:
    """A shell command that prints a line ``PATH VERSION`` for each Python of a host, first the one that was used."""
    first = shlex.quote(used) if re.match(r"[A-Za-z0-9_./+-]{1,200}\Z", used) else ""
    return (
        'for p in %s %s; do p=$(command -v "$p") && [ -x "$p" ] && v=$("$p" -c \'import sys; print(".".join(map(str, sys.version_info[:3])))\' 2>/dev/null) '
        '&& echo "$p $v"; done' % (first, _PLACES)
    )


def explain_python(used: str, listed: str, least: tuple[int, int]) -> str:
    """What is wrong with a host's Python and what to set, from what :func:`list_pythons` printed there."""
    found = [(match.group(1), match.group(2)) for match in re.finditer(r"^(/[A-Za-z0-9_./+-]{1,200}) ([0-9]+\.[0-9]+\.[0-9]+)\s*$", listed, re.MULTILINE)]
    needed = "needed is Python %d.%d or newer" % least
    good = [path for path, version in found if tuple(int(part) for part in version.split(".")[:2]) >= least and path != used]
    advice = "set ansible_python_interpreter=%s" % good[0] if good else "install one and set ansible_python_interpreter to it"
    tried = [row for row in found if row[0] == used] or ([] if good else found)
    if tried:
        return "its Python is too old: found %s at %s, %s; %s" % (tried[0][1], tried[0][0], needed, advice)
    return "no Python runs at %s, %s; %s" % (clean(used, 200) if used.startswith("/") else "the usual places", needed, advice)


def explain_become(text: str) -> str:
    """Why no other user could be become."""
    for pattern, meaning in _BECOME_CAUSES:
        if re.search(pattern, text, re.IGNORECASE):
            return meaning
    return clean(_said(text), 120)


def _said(text: str) -> str:
    """The first line of what was said that says something."""
    text = re.sub(r"(?:Failed to connect to the host via ssh|MODULE FAILURE|Task failed|Action failed)[^:\n]{0,40}:?\s*", "", text)
    text = re.sub(r"See stdout/stderr for the exact error\.?|#+ ?|Warning: Permanently added [^\n]*", "", text)
    for line in text.splitlines():
        if re.search(r"[A-Za-z]{3}", line):
            return line.strip()
    return "no reason given"
