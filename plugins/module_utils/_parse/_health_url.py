# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether what was given as URLs to ask are such.

Private to oncall.pressure: no stable interface.
"""

from __future__ import annotations

import typing as t
import urllib.parse

#: How many may be asked on one host.
MOST: t.Final = 20


def problem(urls: t.Mapping[t.Any, t.Any]) -> str | None:
    """One line that says what is wrong with ``{service: URL}``, null where nothing is. It never repeats a URL, which may hold a secret."""
    if len(urls) > MOST:
        return "health_urls: %d are given, at most %d are asked" % (len(urls), MOST)
    for name, url in urls.items():
        said = _problem(url)
        if said:
            return "health_urls: that of %s %s" % (name, said)
    return None


def _problem(url: t.Any) -> str | None:
    try:
        parts = urllib.parse.urlsplit(url if isinstance(url, str) else "")
        port = parts.port
    except ValueError:
        return "is no URL"
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        return "is no http or https URL with a host in it"
    if parts.username is not None or parts.password is not None:
        return "holds a user or password, which would be seen in logs; name one that needs none"
    if any(ord(letter) < 33 or ord(letter) == 127 for letter in url):
        return "holds a blank or a control character"
    return None
