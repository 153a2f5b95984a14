# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a configuration of nginx says of what it takes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, Iterable, Optional, Tuple

import jsonschema
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.oncall.pressure.plugins.module_utils._components._nginx_settings import told
from ansible_collections.oncall.pressure.plugins.module_utils._parse import _nginx_config

SCHEMA = json.loads((Path(__file__).resolve().parents[3] / "roles/diagnose/files/schemas/snapshot.json").read_text(encoding="utf-8"))
SHAPE = jsonschema.Draft202012Validator(SCHEMA["$defs"]["snapshot"]["properties"]["nginx"]["properties"]["settings"])


def nothing(pattern: str) -> Iterable[Tuple[str, str]]:
    return ()


def of(text: str) -> Optional[Dict[str, Any]]:
    found = told([_nginx_config.settings(_nginx_config.parse("nginx.conf", text, nothing).directives)])
    SHAPE.validate(found)
    return found


def test_a_configuration_that_says_all_of_it() -> None:
    found = of("""
        worker_processes auto; events { worker_connections 768; }
        http {
            log_format timed '$remote_addr $request_time';
            limit_req_zone $binary_remote_addr zone=api_limit:10m rate=10r/s;
            limit_req_zone $uri rate=2r/m zone=other:1m;
            set_real_ip_from 192.0.2.0/24; set_real_ip_from 2001:db8::/32; real_ip_header X-Forwarded-For;
            upstream app { server 127.0.0.1:8000; server unix:/run/app.sock backup; }
            server { location /api/ { limit_req zone=api_limit burst=20 nodelay; } location / { limit_req zone=other; } }
        }""")
    assert found == {
        "worker_processes": "auto", "worker_connections": 768, "real_ip_header": "X-Forwarded-For", "trusted": ["192.0.2.0/24", "2001:db8::/32"],
        "limit_zones": [{"key": "$binary_remote_addr", "name": "api_limit", "rate": "10r/s", "size": "10m"},
                        {"key": "$uri", "name": "other", "rate": "2r/m", "size": "1m"}],
        "limits": 2, "formats": ["timed"], "upstreams": [{"name": "app", "servers": 2}],
    }


def test_one_that_says_nothing_and_none_at_all() -> None:
    found = of("http { server { listen 80; } }")
    assert found is not None
    # the number that nginx takes by itself; how many workers it starts is counted and not guessed
    assert found["worker_connections"] == 512 and found["worker_processes"] is None and found["limit_zones"] == [] and found["limits"] == 0
    assert told([]) is None


WORDS = st.sampled_from(["http {", "}", "upstream x {", "server a;", "limit_req_zone", "limit_req_zone a=b zone rate=", ";", "zone=z:",
                         "set_real_ip_from \x1b[31m;", "worker_connections 99999999999;", "worker_processes", "real_ip_header", "log_format", "y 'z';"])


@given(st.lists(st.one_of(WORDS, st.text(max_size=12)), max_size=30).map(" ".join))
def test_any_text_gives_a_valid_part_of_the_document(text: str) -> None:
    assert "\x1b" not in json.dumps(of(text), ensure_ascii=False)
