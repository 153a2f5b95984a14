# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a configuration whole: what it takes for granted of its machine is put there, one complaint of nginx after the other.

What a configuration says itself is left as it is, but for three things: templates are filled in, words that only another version or an unpackaged
module knows are left out, and one without an http block is read by the package's own.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Callable, Dict, List, Set, Tuple

ETC = Path("/etc/nginx")
ORIGINAL = Path("/var/tmp/nginx-original")
#: This host, as clients see it.
HERE = "10.231.77.1"
LENT = ETC / "lent.inc"


def sh(command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="backslashreplace", check=False)


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="surrogateescape")


def write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors="surrogateescape")


# laying it out


def has_http(path: Path) -> bool:
    return re.search(r"^\s*http\s*\{", read(path), re.MULTILINE) is not None


def lay(folder: Path) -> None:
    """The set becomes /etc/nginx; one without an http block of its own is added to what the package ships."""
    shutil.rmtree(str(ETC))
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".default"))
    mains = sorted((path for path in files if has_http(path)), key=lambda path: (plain_name(path) != "nginx.conf", len(path.parts), str(path)))
    if mains:
        base = mains[0].parent
        shutil.copytree(str(base), str(ETC))
        if mains[0].name != "nginx.conf":
            shutil.move(str(ETC / mains[0].name), str(ETC / "nginx.conf"))
        for shipped in ORIGINAL.iterdir():
            if shipped.is_file() and not (ETC / shipped.name).exists():
                shutil.copy(str(shipped), str(ETC / shipped.name))
    else:
        shutil.copytree(str(ORIGINAL), str(ETC), symlinks=True)
        for path in (ETC / "sites-enabled").iterdir():
            path.unlink()
        for number, path in enumerate(files):
            serves = re.search(r"^\s*(server|log_format|map|upstream)\b", read(path), re.MULTILINE)
            shutil.copy(str(path), str(ETC / "conf.d" / ("%02d.conf" % number) if serves else ETC / path.name))
    for path in [ETC, *ETC.rglob("*")]:
        os.chown(str(path), 0, 0)
        os.chmod(str(path), 0o755 if path.is_dir() else 0o644)
        if path.is_file():
            fill_in(path)
    os.utime(str(ETC / "nginx.conf"), (0, 0))


def plain_name(path: Path) -> str:
    return path.name[:-3] if path.name.endswith(".j2") else path.name


def fill_in(path: Path) -> None:
    """What is a template becomes a file, with a value for every place."""
    text = read(path)
    # of a program that deploys: %(name)s
    filled = re.sub(r"%\((\w+)\)s", lambda found: place_of(found.group(1)), text)
    if "{%" in filled or "{{" in filled:
        filled = rendered(filled)
    if filled != text:
        write(path, filled)


def place_of(name: str) -> str:
    """A port where the name says so, else a word that is a host, a path and a name."""
    return str(20000 + sum(map(ord, name)) % 9000) if name.lower().endswith("port") else name.lower().replace("_", "-")


def rendered(text: str) -> str:
    """A Jinja template with what the machine would know."""
    import jinja2

    class Named(jinja2.ChainableUndefined):
        def __str__(self) -> str:
            return place_of(str(self._undefined_name))

    return jinja2.Environment(undefined=Named, keep_trailing_newline=True).from_string(text).render()


# parts of a configuration

#: What only modules know that are not packaged here, or only other versions of nginx.
OF_MODULES = re.compile(
    r"(.*_by_lua.*|lua_.*|js_.*|brotli.*|more_.*|http2|early_hints|spdy.*|pagespeed.*|passenger.*|upload_progress|track_uploads|report_uploads|rtmp.*|vod.*"
    r"|auth_.*|ssl|stub_status|gzip_static)")
OF_VERSIONS = ("spdy", "resolve")


def end_of(text: str, start: int, lua: bool) -> int:
    """The place after a directive that begins at ``start``: after its semicolon, or its block. Quotes and comments count for nothing."""
    place, depth = start, 0
    while place < len(text):
        sign = text[place]
        inside = lua and depth
        if sign == "#" and not inside and text[place - 1] in " \t\n;{}" or inside and text.startswith("--", place):
            place = (text.find("\n", place) + 1) or len(text)
            continue
        if sign in "\"'" and (inside or text[place - 1] in " \t\n(;"):
            place = quoted_end(text, place)
            continue
        depth += {"{": 1, "}": -1}.get(sign, 0)
        place += 1
        if depth == 0 and (sign == "}" or sign == ";"):
            return place
    return place


def quoted_end(text: str, place: int) -> int:
    quote, place = text[place], place + 1
    while place < len(text) and text[place] != quote:
        place += 2 if text[place] == "\\" else 1
    return place + 1


def leave_out(path: Path, line: int, name: str) -> bool:
    """Take one directive out of a file, with its block."""
    text = read(path)
    rows = text.split("\n")
    upto = sum(len(row) + 1 for row in rows[:line])
    # nginx names the line that the directive's words end in
    starts = [found.start(1) for found in re.finditer(r'(?:^|[\s;{}])(["\']?%s["\']?)(?=[\s;{])' % re.escape(name), text[:upto])]
    starts = [start for start in starts if "#" not in text[text.rfind("\n", 0, start) + 1: start]]
    if not starts:
        return False
    write(path, text[: starts[-1]] + text[end_of(text, starts[-1] + len(name), name.endswith("_block")):])
    return True


def leave_out_word(path: Path, line: int, word: str) -> bool:
    """Take a parameter out of the directive that ends in a line."""
    rows = read(path).split("\n")
    shorter = re.sub(r"\s%s(?=[\s;])" % re.escape(word), "", rows[line - 1])
    changed = shorter != rows[line - 1]
    rows[line - 1] = shorter
    write(path, "\n".join(rows))
    return changed


def serve(path: Path, line: int) -> bool:
    """Give an upstream that is a mere name a server; its closing brace is in that line."""
    rows = read(path).split("\n")
    rows[line - 1] = " server 127.0.0.1:9; }".join(rows[line - 1].rsplit("}", 1))
    write(path, "\n".join(rows))
    return True


def lend(text: str) -> bool:
    """Define something at the beginning of http; false where it was lent before and did not help."""
    main = ETC / "nginx.conf"
    already = read(LENT) if LENT.exists() else ""
    if text in already:
        return False
    if not already:
        whole, count = re.subn(r"^(\s*http\s*\{)", r"\1 include %s;" % LENT, read(main), count=1, flags=re.MULTILINE)
        if not count:
            return False
        write(main, whole)
    write(LENT, already + text + "\n")
    return True


def everything() -> str:
    return "\n".join(read(path) for path in sorted(ETC.rglob("*")) if path.is_file() and path != LENT)


def zone(name: str) -> str:
    """What declares a shared zone, by who uses it."""
    text = everything()
    if re.search(r"limit_conn\s+%s\b" % re.escape(name), text):
        return "limit_conn_zone $binary_remote_addr zone=%s:1m;" % name
    if re.search(r"_cache\s+\"?%s\b" % re.escape(name), text):
        return "proxy_cache_path /var/tmp/cache-%s keys_zone=%s:1m;" % (name, name)
    return "limit_req_zone $binary_remote_addr zone=%s:1m rate=1000r/s;" % name


# complaints


def host_of_listen(host: str) -> bool:
    return named(host, HERE)


def named(host: str, address: str = "127.0.0.1") -> bool:
    line = "%s %s\n" % (address, host)
    path = Path("/etc/hosts")
    if line in read(path):
        return False
    with path.open("a", encoding="utf-8") as stream:
        stream.write(line)
    return True


def missing(path: str, problem: str) -> bool:
    """A file or folder that is not there."""
    if "*" in path:
        return False
    os.makedirs(os.path.dirname(path), exist_ok=True)
    ours = [known for known in ETC.rglob("*") if known.is_file() and plain_name(known) == os.path.basename(path) and str(known) != path]
    if "mkdir()" in problem:
        os.makedirs(path, exist_ok=True)
    elif "certificate key" in problem:
        shutil.copy("/var/tmp/key.pem", path)
    elif "certificate" in problem:
        shutil.copy("/var/tmp/cert.pem", path)
    elif "BIO_new_file" in problem or "fopen" in problem:
        shutil.copy("/var/tmp/dh.pem", path)
    elif ours:
        # the set has it, elsewhere
        shutil.copy(str(ours[0]), path)
    else:
        with open(path, "a", encoding="utf-8"):
            os.utime(path, (0, 0))
    return True


#: What nginx says, and what is done about it; the first that fits.
COMPLAINTS: List[Tuple[str, Callable[["re.Match[str]"], bool]]] = [
    (r'host not found in "([A-Za-z0-9._-]+):\d+" of the "listen"', lambda found: host_of_listen(found.group(1))),
    (r'"(/[^"]+)" failed \(2: No such file', lambda found: missing(found.group(1), found.string)),
    (r'(?:certificate(?: key)?|file\() ?"(/[^"]+)"', lambda found: missing(found.group(1), found.string)),
    (r'BIO_new_file\("(/[^"]+)"\) failed', lambda found: missing(found.group(1), found.string)),
    (r'host not found in (?:upstream |resolver |.*? of the )?"([A-Za-z0-9._-]+)', lambda found: named(found.group(1))),
    (r'no port in upstream "([^"]+)"', lambda found: lend("upstream %s { server 127.0.0.1:9; }" % found.group(1))),
    (r'getpwnam\("([a-z0-9_-]+)"\)', lambda found: sh("useradd -r -M %s" % found.group(1)).returncode == 0),
    (r'getgrnam\("([a-z0-9_-]+)"\)', lambda found: sh("groupadd -r %s" % found.group(1)).returncode == 0),
    (r'unknown log format "([^"]+)"', lambda found: lend("log_format %s '$remote_addr [$time_local] \"$request\" $status';" % found.group(1))),
    (r'zero size shared memory zone "([^"]+)"', lambda found: lend(zone(found.group(1)))),
    # geo: a map before them would keep settings of maps out
    (r'unknown "([A-Za-z0-9_]+)" variable', lambda found: lend("geo $%s { default 0; }" % found.group(1))),
    (r"no servers are inside upstream in (\S+):(\d+)", lambda found: serve(Path(found.group(1)), int(found.group(2)))),
    (r'no "ssl_certificate" is defined', lambda found: lend("ssl_certificate /var/tmp/cert.pem; ssl_certificate_key /var/tmp/key.pem;")),
    (r'no "events" section', lambda found: write(ETC / "nginx.conf", "events { }\n" + read(ETC / "nginx.conf")) is None),
    (r'unknown directive "([^"]+)" in (\S+):(\d+)',
     lambda found: bool(OF_MODULES.fullmatch(found.group(1))) and leave_out(Path(found.group(2)), int(found.group(3)), found.group(1))),
    (r'invalid parameter "([^"]+)" in (\S+):(\d+)',
     lambda found: found.group(1) in OF_VERSIONS and leave_out_word(Path(found.group(2)), int(found.group(3)), found.group(1))),
    (r"bind\(\) to \[?([0-9a-fA-F.:]+)\]?:\d+ failed \(99", lambda found: sh("ip address add %s dev lo" % found.group(1)).returncode == 0),
]


def stand_in(problem: str) -> bool:
    """Put there what one complaint misses; whether that may have helped."""
    for pattern, act in COMPLAINTS:
        found = re.search(pattern, problem)
        if found:
            return act(found)
    return False


def test_config() -> str:
    done = sh("nginx -t 2>&1")
    return "" if done.returncode == 0 else "; ".join(line for line in done.stdout.splitlines() if "[emerg]" in line) or done.stdout[:300]


def complete() -> str:
    """"" where nginx takes it in the end, else what it says."""
    problem = ""
    for dummy in range(80):
        problem = test_config()
        if not problem or not stand_in(problem):
            return problem
    return problem


# running it


def start() -> str:
    """Start it, adding the addresses that it wants to listen on; "" where it runs, else why not."""
    for dummy in range(12):
        log = Path("/var/tmp/start.log")
        with log.open("wb") as stream:
            subprocess.Popen(["nginx"], stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True)
        for dummy2 in range(60):
            time.sleep(0.05)
            if workers():
                return ""
            text = log.read_text(encoding="utf-8", errors="replace")
            if "[emerg]" in text:
                break
        text = log.read_text(encoding="utf-8", errors="replace")
        line = next((line for line in text.splitlines() if "[emerg]" in line), "")
        stop()
        if not line or not stand_in(line):
            return line or "it has no workers"
    return "it does not start"


def processes() -> Dict[int, str]:
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                text = Path("/proc/%s/cmdline" % name).read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            except OSError:
                continue
            if text.startswith("nginx: "):
                found[int(name)] = text
    return found


def workers() -> Set[int]:
    return {pid for pid, text in processes().items() if "worker process" in text and "shutting" not in text}


def stop() -> None:
    for dummy in range(100):
        left = list(processes())
        if not left:
            return
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.05)
