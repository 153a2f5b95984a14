# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One route is one path."""

from __future__ import annotations

import uuid

import pytest
from ansible_collections.oncall.pressure.plugins.module_utils._parse._request_path import PATH_LIMIT, fold, fold_many

CASES = [
    ("/", "/"),
    ("/users/123", "/users/{n}"),
    ("/users/123/", "/users/{n}/"),
    ("/users/1/2/3/orders/4", "/users/{n}/{n}/{n}/orders/{n}"),
    ("/v2/items", "/v2/items"),
    ("/search?q=1&token=abc", "/search"),
    ("/a#b?c", "/a"),
    ("/a/123.json?x=1", "/a/{n}.json"),
    ("/x;jsessionid=0A1B/y", "/x/y"),
    ("http://example.com/a/7?b", "/a/{n}"),
    ("https://example.com", "/"),
    ("*", "*"),
    ("example.com:443", "example.com:443"),
    ("/o/507f1f77bcf86cd799439011/z", "/o/{hex}/z"),
    ("/deadbeef", "/deadbeef"),
    ("/how-to-make-something-in-10-minutes-2024-01", "/how-to-make-something-in-10-minutes-2024-01"),
    ("/reset/Ab3dEf7hIjKlMnOpQrStUvWxYz012345", "/reset/{token}"),
    ("/caf%C3%A9/1", "/caf%C3%A9/{n}"),
    ("/{{ lookup }}", "/{{ lookup }}"),
    ("//1//2", "//{n}//{n}"),
]


@pytest.mark.parametrize(("target", "path"), CASES)
def test_fold(target: str, path: str) -> None:
    assert fold(target.encode()) == path.encode()


def test_many_at_once_are_the_same_as_one_by_one() -> None:
    targets = [target.encode() for target, dummy in CASES] * 3
    assert fold_many(targets) == [fold(target) for target in targets]


def test_uuids_are_one_path() -> None:
    assert {fold(b"/jobs/" + str(uuid.uuid4()).encode()) for dummy in range(50)} == {b"/jobs/{uuid}"}


def test_a_long_path_is_cut_where_it_is_shown() -> None:
    path = fold(b"/a" * 100000)
    assert len(path) == PATH_LIMIT + 3 and path.endswith(b"...")


def test_folding_twice_changes_nothing() -> None:
    for target, dummy in CASES:
        once = fold(target.encode())
        assert fold(once) == once


def test_nothing_gives_nothing() -> None:
    assert fold_many([]) == []
