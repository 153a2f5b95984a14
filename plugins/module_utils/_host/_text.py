# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make text from a host harmless: visible control characters, no secrets, bounded length.

Private to oncall.pressure: no stable interface.

Everything a host says (process arguments, log lines, unit names, URLs) is hostile. It goes through :func:`clean`
(an argument list through :func:`clean_words`) where it enters a document; :func:`clean_tree` does the same for a whole
document as the last line of defence. Cleaning what is clean changes nothing.
"""

from __future__ import annotations

import functools
import re
import typing as t

#: The longest text that enters a document, in characters, unless a caller says otherwise.
TEXT_LIMIT = 300

# C0 (also tab and line feed: a document holds single lines), DEL, C1, bidirectional controls and marks, line and
# paragraph separators, zero width and tag characters, byte order mark, lone surrogates.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)

REDACTED = "REDACTED"

_SECRET_WORD = (
    r"(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[-_.]?key|apikey|access[-_.]?key|account[-_.]?key|private[-_.]?key"
    r"|auth(?!or)|credentials?|cookie|session(?:id)?|dsn|signature|sig)"
)

# The user of a URL and what ends it; the scheme before it is looked up only where it matters.
_URL_USER = re.compile(r"(?<=[A-Za-z0-9+.-])://(?P<user>[^\s/:@'\"\[]*)(?P<end>[:@])")
_KEY = re.compile(r"[A-Za-z0-9]{16,}")
# "http://host:8080/path@v2" has a port and no password. The URLs of brokers and databases have no @ in their path.
_PORT = re.compile(r"[0-9]{1,5}[/?#]")
_CREDENTIAL_SCHEME = re.compile(r"(?:amqps?|rediss?|postgres(?:ql)?|mysql|mariadb|mongodb)(?:\+[a-z0-9]+)?$", re.IGNORECASE)
_GO_ADDRESS = ("@tcp(", "@tcp6(", "@unix(")

# NAME_PASSWORD=value, --api-key=value, "token": "value", user[password]=value, password: value. What stands before the word is kept anyway.
_ASSIGNMENT = re.compile(
    _SECRET_WORD + r"[A-Za-z0-9_.-]{0,32}(?:\]|%5D)?(?P<quoted>\\{0,3}[\"'])?\s{0,3}[=:]\s{0,3}(?P<open>\\{0,3}[\"'])?", re.IGNORECASE
)
_IN_QUERY = re.compile(r"[?&][A-Za-z0-9_.%\[\]-]{0,64}$")
# Already redacted (perhaps cut by the limit), or a header that has its own pattern.
_SAID = re.compile(r"REDACTED|R?E?D?A?C?T?E?\.\.\.$|(?:Bearer|Basic)\s", re.IGNORECASE)
_ENDS = {
    '"': re.compile(r'(?:[^"\\]|\\.)*', re.DOTALL), "'": re.compile(r"(?:[^'\\]|\\.)*", re.DOTALL),
    "query": re.compile(r"[^\s&\"]*"), "json": re.compile(r"[^\s,}\]]*"), "word": re.compile(r"\S*"),
}

# Each pattern keeps what names the secret (group "keep") and drops the secret itself.
_HEADER = re.compile(r"(?P<keep>\b(?:bearer|basic)\s{1,3})[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)
# --password value; -pvalue is left alone: it is as often a port
_OPTION_NAME = r"--?[A-Za-z0-9-]{0,64}" + _SECRET_WORD + r"(?:-[A-Za-z0-9-]{0,32})?"
_OPTION = re.compile(r"(?P<keep>(?<!\S)" + _OPTION_NAME + r"\s{1,3})(?![-\s])(?:'[^']*'\S*|\"[^\"]*\"\S*|\S+)", re.IGNORECASE)
# well known shapes that name themselves
_SHAPE = re.compile(r"(?P<keep>)(?:(?:AKIA|ASIA)[A-Z0-9]{16}|(?:gh[pousr]_|glpat-|xox[abprs]-|sk_live_|(?<![A-Za-z0-9])sk-)[A-Za-z0-9_-]{10,})")
_DOTTED = re.compile(r"(?<![A-Za-z0-9_.-])[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)+")
_WEB_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}")


class _Program(t.NamedTuple):
    """Options of a program that carry a secret and do not say so."""

    #: the secret is the next word
    apart: re.Pattern[str] | None
    #: the secret is the rest of the same word
    glued: re.Pattern[str] | None
    #: what follows its secret is another program's command line
    runs: bool = False


_MYSQL = _Program(None, re.compile(r"-p(?=.)"))
_PROGRAMS = {
    "curl": _Program(re.compile(r"-[A-Za-z#]*[uU]|--(?:proxy-)?user"), re.compile(r"(?:-[uU]|--(?:proxy-)?user=)(?=.)")),
    "sshpass": _Program(re.compile(r"-p"), re.compile(r"-p(?=.)"), True),
    "mysql": _MYSQL, "mysqldump": _MYSQL, "mysqladmin": _MYSQL, "mariadb": _MYSQL, "mariadb-dump": _MYSQL, "mariadb-admin": _MYSQL,
    "redis-cli": _Program(re.compile(r"-a"), None),
    # its -p is a port: after it no other program's options hold
    "psql": _Program(None, None),
}


def decode(data: bytes) -> str:
    """Text of bytes from a host: UTF-8, what is not valid as visible \\xNN escapes."""
    return data.decode("utf-8", "backslashreplace")


def visible(text: str) -> str:
    """The text with every control, bidirectional and invisible character as a visible escape."""
    return _UNSAFE.sub(lambda found: found.group().encode("unicode_escape", "surrogatepass").decode("ascii"), text)


def _without_secret(found: re.Match[str]) -> str:
    return found.group("keep") + (found.groupdict().get("quote") or "") + REDACTED


def _without_urls_secrets(word: str) -> str:
    """A word without the password or key of the URLs in it. A password ends at the word's last @: it may hold any other sign."""
    last = word.rfind("@")
    if last < 0:
        return word
    done, parts = 0, []
    for found in _URL_USER.finditer(word, 0, last + 1):
        user, start = found.group("user"), found.end()
        if found.group("end") == "@":
            if _KEY.fullmatch(user):
                parts += [word[done: found.start("user")], REDACTED]
                done = found.end("user")
            continue
        credential = not user or _CREDENTIAL_SCHEME.search(word, max(found.start() - 32, 0), found.start())
        if not credential and _PORT.match(word, start):
            continue
        # a key beside a password, or instead of one ("https://KEY:@host"), is as secret as the password
        named = REDACTED if _KEY.fullmatch(user) and any(sign.isdecimal() for sign in user) else user
        parts += [word[done: found.start("user")], named, ":", REDACTED if start < last else ""]
        done = last
        break
    word = "".join(parts) + word[done:]
    # user:password@tcp(host:port)/database, as drivers for Go have it
    last, colon = max(word.rfind(sign) for sign in _GO_ADDRESS), word.find(":")
    return word[: colon + 1] + REDACTED + word[last:] if 0 <= colon < last - 1 and "://" not in word[:last] else word


def _without_assigned(text: str) -> str:
    """The text without the values that are assigned to a secret's name: to the closing quote, else to the end of the parameter or word."""
    done, place, parts = 0, 0, []
    while True:
        found = _ASSIGNMENT.search(text, place)
        if found is None:
            return "".join(parts) + text[done:]
        start, opened = found.end(), found.group("open")
        place = start
        if _SAID.match(text, start):
            continue
        if opened and len(opened) > 1:
            end = text.find(opened, start)
            end = len(text) if end < 0 else end
        else:
            query = _IN_QUERY.search(text, max(found.start() - 65, 0), found.start())
            kind = opened or ("query" if query else "json" if found.group("quoted") else "word")
            closed = _ENDS[kind].match(text, start)
            end = closed.end() if closed else start
        if end > start:
            parts += [text[done:start], REDACTED]
            done = place = end


def _without_web_token(found: re.Match[str]) -> str:
    token = _WEB_TOKEN.search(found.group()) if "eyJ" in found.group() else None
    return found.group()[: token.start()] + REDACTED if token else found.group()


def redact(text: str) -> str:
    """The text with passwords, tokens and keys replaced by REDACTED; what names them stays."""
    if "@" in text:
        text = re.sub(r"\S+", lambda found: _without_urls_secrets(found.group()), text)
    # what a pattern cannot match without is looked for first: that costs a hundredth
    if "=" in text or ":" in text:
        text = _without_assigned(text)
    for pattern in (_HEADER, _OPTION, _SHAPE) if "-" in text else (_HEADER, _SHAPE):
        text = pattern.sub(_without_secret, text)
    return _DOTTED.sub(_without_web_token, text) if "eyJ" in text else text


def _rough(limit: int) -> int:
    """How many characters are looked at, so that a line of many megabytes costs nothing."""
    return limit * 4 + 2048


def clean(text: str | bytes, limit: int = TEXT_LIMIT) -> str:
    """Harmless text of at most ``limit`` characters (a cut is shown as an ellipsis).

    The text is cut roughly before redaction, so that a line of many megabytes costs nothing, and exactly after it.
    """
    if isinstance(text, str) and len(text) <= _SHORT:
        # a slice is plain text, whatever else a controller's text may carry along
        return _clean_once(text[:], limit)
    return _clean(text, limit)


#: Texts that are kept with what became of them: a document has the same few words as keys again and again, and each costs a dozen searches.
_SHORT = 96


@functools.lru_cache(maxsize=4096)
def _clean_once(text: str, limit: int) -> str:
    return _clean(text, limit)


def _clean(text: str | bytes, limit: int) -> str:
    if isinstance(text, bytes):
        text = decode(text[: _rough(limit) * 4])
    cut = len(text) > _rough(limit)
    if cut:
        # the @ stands for the one that may have been cut off behind a URL's password
        text = text[: _rough(limit)] + "@"
    # once more after the escapes, which join what control characters kept apart, and after the cut: a second cleaning must find nothing new
    text = redact(visible(redact(text)))
    if cut:
        text = redact((text[:-1] if text.endswith("@") else text) + " ...")
    return text if len(text) <= limit else _cut(redact(_cut(text, limit)), limit)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: max(limit - 3, 0)] + "..."


def _without_word_secrets(word: str) -> str:
    """One argument without its secrets. Unlike in a text, a blank in it ends nothing."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", word):
        return _without_urls_secrets(word)
    found = _ASSIGNMENT.search(word)
    if found is None:
        return word
    before, said = word[: found.start()], found.group()
    # in a script, a JSON text or a query the assignment is only a part of the word: the rules for texts hold there
    if re.search(r"[\s?&\"'{]", before) or found.group("quoted") or not ("=" in said or said[-1:].isspace()):
        return word
    return before + said + REDACTED if found.end() < len(word) else word


def _without_options(words: t.Iterable[str]) -> list[str]:
    """The words of a command line without the values of secret options, by name or by the program they are given to."""
    kept: list[str] = []
    program: _Program | None = None
    secret = False
    for word in words:
        glued = program.glued.match(word) if program is not None and program.glued is not None else None
        if secret and not word.startswith("-"):
            kept.append(REDACTED)
            secret = False
            program = None if program is not None and program.runs else program
            continue
        apart = program is not None and program.apart is not None and program.apart.fullmatch(word) is not None
        secret = apart or re.fullmatch(_OPTION_NAME, word, re.IGNORECASE) is not None
        program = _PROGRAMS.get(word.rpartition("/")[2], program)
        kept.append(glued.group() + REDACTED if glued and not secret else word)
    return kept


def clean_words(words: t.Sequence[str], limit: int = TEXT_LIMIT) -> str:
    """The arguments of a process, joined with blanks, as harmless text of at most ``limit`` characters.

    What a blank ends is known only before they are joined: an argument after ``--password`` is a secret as a whole.
    A single word is taken for a title that a process wrote over its arguments.
    """
    rough, size = _rough(limit), 0
    looked: list[str] = []
    for word in words:
        if size > rough:
            break
        looked.append(word[: rough + 1])
        size += len(looked[-1]) + 1
    if len(looked) > 1:
        looked = [_without_word_secrets(word) for word in _without_options(looked)]
    # a script (sh -c "...") or a title holds command lines of its own
    scripts = [" ".join(_without_options(redact(word).split(" "))) if " " in word else word for word in looked]
    return clean(" ".join(scripts), limit)


def clean_tree(value: t.Any, limit: int = 4096, depth: int = 24) -> t.Any:
    """A document with every string in it, keys too, made harmless. Deeper than ``depth`` becomes null."""
    if isinstance(value, str):
        return clean(value, limit)
    if not isinstance(value, (dict, list, tuple)):
        return value
    if depth <= 0:
        return None
    if isinstance(value, dict):
        return {
            clean(str(key), 256): item if item is None or isinstance(item, (int, float)) else clean_tree(item, limit, depth - 1)
            for key, item in value.items()
        }
    return [clean_tree(item, limit, depth - 1) for item in value]
