# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a broker of celery is, from its URL, and nothing that may be a password.

Private to oncall.pressure: no stable interface. Pure.
"""

from __future__ import annotations

import re
import typing as t

#: What kombu calls its transports, by what people know them as; any other is not repeated, for it may be anything.
KINDS: t.Final = {
    "amqp": "amqp", "amqps": "amqp", "pyamqp": "amqp", "librabbitmq": "amqp", "redis": "redis", "rediss": "redis", "valkey": "redis", "valkeys": "redis",
    "redis+socket": "redis", "sentinel": "redis", "sqs": "sqs", "sqs+https": "sqs", "sqs+http": "sqs", "gcpubsub": "gcpubsub", "kafka": "kafka",
    "confluentkafka": "kafka", "azureservicebus": "azureservicebus", "azurestoragequeues": "azurestoragequeues", "mongodb": "mongodb", "filesystem":
    "filesystem", "memory": "memory", "sqla": "database", "zookeeper": "zookeeper", "consul": "consul", "etcd": "etcd", "qpid": "qpid", "pyro": "pyro",
    "slmq": "slmq",
}

_PLACE = re.compile(r"(?P<host>[A-Za-z0-9][A-Za-z0-9._-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\])(?::(?P<port>[0-9]{1,5}))?")
_MORE = re.compile(r";(?=[A-Za-z0-9+]{2,20}://)")


def place(url: str) -> str | None:
    """``KIND://HOST:PORT`` of the first of the brokers that a setting names, ``KIND`` alone where its host is not told; null where it is no broker's URL."""
    first = _MORE.split(url.strip()[:4096])[0]
    scheme, separator, rest = first.partition("://")
    kind = KINDS.get(scheme.lower().split("+", 1)[0] if scheme.lower().startswith("sqla") else scheme.lower())
    if kind is None:
        return None
    if not separator or kind not in ("amqp", "redis", "mongodb", "kafka", "qpid", "zookeeper", "consul", "etcd") or scheme.lower() == "redis+socket":
        # the rest is a key, a folder or a region
        return kind
    # a password may hold anything, written as it should be or not: what is behind the last @ is the host's, if it looks like that
    authority = re.split(r"[/?#,]", rest.rpartition("@")[2], maxsplit=1)[0]
    found = _PLACE.fullmatch(authority)
    # without an @, a word with letters behind its colon is a user and a password
    return kind if found is None else "%s://%s" % (kind, authority)


def elsewhere(broker: str) -> bool:
    """Whether a broker (as :func:`place` names it) is surely not on this host."""
    host = re.sub(r":[0-9]{1,5}\Z", "", broker.partition("://")[2]).strip("[]")
    return host not in ("", "localhost", "::1", "0.0.0.0") and not host.startswith("127.")
