# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Count what occurs most in a stream, in bounded memory, with the error known.

Private to oncall.pressure: no stable interface. Pure.

A Misra-Gries summary ("Finding repeated elements", 1982), merged as in "Mergeable summaries" (2012): every count is at
most ``error`` below the truth and never above it, and ``error`` is at most the stream's length over the capacity.
"""

from __future__ import annotations

import heapq
import typing as t
from collections import Counter

K = t.TypeVar("K", bound=t.Hashable)


class HeavyHitters(t.Generic[K]):
    """Counts by key. Up to ``capacity`` different keys they are exact; beyond, each is at most :attr:`error` too low."""

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError("a summary needs room for at least one key")
        self.capacity = capacity
        self.counts: Counter[K] = Counter()
        #: how many of a key's occurrences may be missing from its count
        self.error = 0
        self._most_keys = 0

    def update(self, keys: t.Iterable[K] | t.Mapping[K, int]) -> None:
        """Count every key of an iterable once, or a mapping's keys as often as it says."""
        self.counts.update(keys)
        # twice the room, so that the sort in _shrink is paid for by as many new keys
        if len(self.counts) > 2 * self.capacity:
            self._shrink()

    def merge(self, other: HeavyHitters[K]) -> None:
        """Take over another summary's counts; the errors add up."""
        self.error += other.error
        self._most_keys = max(self._most_keys, other.distinct)
        self.update(other.counts)

    def _shrink(self) -> None:
        self._most_keys = max(self._most_keys, len(self.counts))
        least = heapq.nlargest(self.capacity + 1, self.counts.values())[-1]
        # plus on Counters keeps what is positive; written out, it needs no second copy
        self.counts = Counter({key: count - least for key, count in self.counts.items() if count > least})
        self.error += least

    @property
    def distinct(self) -> int:
        """How many different keys there were: exact while :attr:`error` is 0, else a lower bound."""
        return max(self._most_keys, len(self.counts))

    def top(self, count: int) -> list[tuple[K, int]]:
        """The keys counted most, most first."""
        return heapq.nlargest(count, self.counts.items(), key=_occurrences)


def _occurrences(item: tuple[t.Any, int]) -> int:
    return item[1]
