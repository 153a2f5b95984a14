# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bounded counting keeps its promises: never above the truth, never further below than it says."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from ansible_collections.oncall.pressure.plugins.module_utils._parse._heavy_hitters import HeavyHitters


def stream(seed: int, length: int, keys: int) -> list:
    """Keys of which few are frequent."""
    print("seed", seed)
    generator = random.Random(seed)
    return [int(generator.paretovariate(0.6)) % keys for dummy in range(length)]


@pytest.mark.parametrize("seed", [random.randrange(10**6) for dummy in range(3)])
def test_counts_are_within_the_error(seed: int) -> None:
    data = stream(seed, 20000, 5000)
    summary: HeavyHitters = HeavyHitters(50)
    for start in range(0, len(data), 700):
        summary.update(data[start:start + 700])
    truth = Counter(data)
    assert 0 < summary.error <= len(data) / 50
    assert len(summary.counts) <= 100 + 700
    for key, count in truth.items():
        assert summary.counts[key] <= count <= summary.counts[key] + summary.error


def test_few_keys_are_counted_exactly() -> None:
    summary: HeavyHitters = HeavyHitters(10)
    summary.update("abracadabra")
    assert (summary.error, summary.distinct, summary.top(2)) == (0, 5, [("a", 5), ("b", 2)])


def test_distinct_is_a_lower_bound_once_keys_were_dropped() -> None:
    summary: HeavyHitters = HeavyHitters(10)
    for start in range(0, 1000, 5):
        summary.update(range(start, start + 5))
    assert 20 < summary.distinct <= 1000
    assert summary.error > 0


def test_merged_summaries_keep_the_promise() -> None:
    seed = random.randrange(10**6)
    data = stream(seed, 20000, 5000)
    halves = []
    for half in (data[:10000], data[10000:]):
        summary: HeavyHitters = HeavyHitters(60)
        for start in range(0, len(half), 500):
            summary.update(half[start:start + 500])
        halves.append(summary)
    halves[0].merge(halves[1])
    for key, count in Counter(data).items():
        assert halves[0].counts[key] <= count <= halves[0].counts[key] + halves[0].error


def test_a_summary_needs_room() -> None:
    with pytest.raises(ValueError, match="room"):
        HeavyHitters(0)
