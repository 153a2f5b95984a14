# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a frame of a Python stack is busy with, by the module or the function it is in.

Private to oncall.pressure: no stable interface. Pure: data.
"""

from __future__ import annotations

import re
import typing as t


class Group(t.NamedTuple):
    """id; modules and functions that belong to it, with all below a module; depth: how far out of a stack it is looked for, in frames."""

    id: str
    modules: frozenset[str]
    functions: frozenset[str] = frozenset()
    depth: int = 6


def _named(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Only modules with frames of their own are of use: what is done in C (hashing, compiled patterns, compression) shows as its caller.
# What every thread stands in at its outside (threads, loops of events, servers) counts only where it is the innermost.
GROUPS: t.Final[tuple[Group, ...]] = (
    Group("garbage_collection", _named("gc weakref"), _named("<GC> __del__"), 2),
    Group("import", _named("importlib pkgutil zipimport"), depth=4),
    Group("template", _named("jinja2 mako chameleon genshi markupsafe markdown mistune django.template django.forms.renderers")),
    Group("serialise", _named(
        "json simplejson orjson ujson rapidjson pickle msgpack yaml xml lxml html bs4 csv toml tomllib openpyxl xlsxwriter marshmallow pydantic "
        "rest_framework.serializers rest_framework.renderers rest_framework.fields rest_framework.utils.encoders django.core.serializers google.protobuf "
        "fastavro kombu.serialization kombu.utils.json flask.json fastapi.encoders")),
    Group("regex", _named("re sre_compile sre_parse regex fnmatch")),
    Group("image", _named("PIL cv2 wand imageio skimage")),
    Group("transform", _named("copy pandas numpy polars pyarrow scipy sklearn heapq statistics difflib dataclasses")),
    Group("database", _named(
        "sqlalchemy psycopg psycopg2 psycopg_pool pymysql MySQLdb asyncpg sqlite3 oracledb pymongo peewee tortoise redis pymemcache django.db django_redis")),
    Group("crypto", _named(
        "hashlib hmac secrets ssl cryptography Crypto nacl jwt jose passlib bcrypt argon2 rsa ecdsa itsdangerous werkzeug.security "
        "django.contrib.auth.hashers django.utils.crypto")),
    Group("compress", _named("gzip bz2 lzma zipfile tarfile zlib brotli zstandard lz4")),
    Group("retry", _named("tenacity backoff retrying urllib3.util.retry"), _named("Task.retry"), 4),
    Group("call", _named("requests urllib3 httpx httpcore aiohttp.client aiohttp.connector http.client urllib.request botocore grpc")),
    Group("log", _named("logging loguru structlog sentry_sdk traceback")),
    Group("coordinate", _named(
        "threading queue select selectors socket socketserver asyncio concurrent multiprocessing subprocess signal sched gevent eventlet greenlet trio anyio "
        "uvloop kombu billiard"), depth=1),
)

_INSTALLED = re.compile(r".*/(?:site|dist)-packages/|.*/lib(?:64)?/(?:python|pypy)3\.\d{1,2}t?/(?:lib-dynload/)?")


def module(file: str) -> str:
    """The module of a file as a profiler names it: short (``json/encoder.py``), or whole."""
    path = _INSTALLED.sub("", file, count=1) if file.startswith("/") else file
    if path.startswith("<frozen"):
        return path.split(" ", 1)[-1].rstrip(">") or path
    name = path[:-3] if path.endswith(".py") else path
    name = name.replace("/", ".")
    return name[: -len(".__init__")] if name.endswith(".__init__") else name


def group_of(file: str, function: str, depth: int) -> str | None:
    """The group of a frame that is so far from the innermost one (which is 0); null where it is none's."""
    parts = module(file).split(".")
    # an absolute path that is no library's is code of the application, whatever its folders are called
    names = {".".join(parts[:count]) for count in range(1, min(len(parts), 4) + 1)} if parts[0] else set()
    for group in GROUPS:
        if depth < group.depth and (not names.isdisjoint(group.modules) or function in group.functions):
            return group.id
    return None
