# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The export format of journalctl: half the work of its JSON for both sides (systemd's "Journal Export Formats").

Private to oncall.pressure: no stable interface. Pure: bytes in, plain data out.
"""

from __future__ import annotations

import typing as t

Entry = t.Dict[bytes, bytes]


def entries(data: bytes) -> t.Iterator[Entry]:
    """Every whole entry, its fields by name; what was cut off at the end is left out, what is no field is passed over.

    A field is ``NAME=value``, or, where the value is no single line of text, the name, its length in eight bytes and the value.
    """
    place, entry = 0, t.cast(Entry, {})
    while True:
        end = data.find(b"\n", place)
        if end < 0:
            return
        if end == place:
            if entry:
                yield entry
            entry, place = {}, place + 1
            continue
        equals = data.find(b"=", place, end)
        if equals > place:
            entry[data[place:equals]] = data[equals + 1:end]
            place = end + 1
            continue
        length = int.from_bytes(data[end + 1:end + 9], "little")
        stop = end + 9 + length
        if stop >= len(data):
            return
        if data[stop:stop + 1] == b"\n":
            entry[data[place:end]] = data[end + 9:stop]
            place = stop + 1
        else:
            # not a length: rubbish, of which the next line may be whole again
            place = end + 1
