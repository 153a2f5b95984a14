# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The whole pack on 1,000 saved snapshots: CPU for each on one core, with the reading of its JSON.

The snapshots are those of real hosts that the tests have: sick and healthy ones of the lab, a scene with everything in it, a whole machine; and those
that a run of the incidents left behind (`tests/incidents/run --keep`). Each is used many times, under another name.
"""

from __future__ import annotations

import functools
import gzip
import json
import resource
import statistics
import sys
import tempfile
import time
import typing as t
from pathlib import Path

import paired

sys.path.insert(0, str(paired.ROOT / ".venv" / "collections"))

COUNT = 1000
GOAL_MS = 30.0
TESTS = paired.ROOT / "tests"


def recorded() -> dict[str, dict[str, t.Any]]:
    """Snapshots by where they are from."""
    paths = [*TESTS.glob("contract/recordings/*.json.gz"), *TESTS.glob("unit/recordings/incidents/*.json.gz"), *TESTS.glob("endings/recordings/*/*.json"),
             *paired.ROOT.glob(".cache/incidents/*/2*/snapshots/*.json")]
    found = {}
    for path in sorted(paths):
        data = path.read_bytes()
        document = json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)
        if "unreached" not in document:
            found[str(path.relative_to(paired.ROOT))] = document
    return found


def save(folder: Path, documents: t.Sequence[dict[str, t.Any]]) -> None:
    """As many snapshots as asked, as a run would have written them."""
    texts = []
    for document in documents:
        before, name, after = json.dumps(dict(document, name="?"), indent=1, sort_keys=True).partition('\n "name": "?"')
        assert name, "a snapshot without a name"
        texts.append((before, after))
    for number in range(COUNT):
        before, after = texts[number % len(texts)]
        # hosts are alike and not the same: what was worked out for a text of one helps the next with the keys, not with names
        body = '%s\n "name": "web-%d"%s' % (before, number, after)
        (folder / ("web-%d.json" % number)).write_text(body.replace(".service", "-%d.service" % number))


def measured(run: t.Callable[[], t.Any]) -> tuple[float, t.Any]:
    """CPU seconds of this process, and what it gave."""
    before = time.process_time()
    value = run()
    return time.process_time() - before, value


def main() -> None:
    from ansible_collections.oncall.pressure.plugins.plugin_utils import _diagnosis, _documents, _markdown, _report, _rules, _verdict

    found = recorded()
    load_rules_s, pack = measured(lambda: _rules.load_rules(str(paired.ROOT / "roles" / "diagnose" / "files" / "rules")).rules)
    thresholds = _rules.resolve_thresholds(pack, None)
    # each alone: what the slowest costs is lost in a mean
    alone = {}
    for name, document in found.items():
        _verdict.judge(document, pack, thresholds)
        alone[name] = min(measured(functools.partial(_verdict.judge, document, pack, thresholds))[0] for dummy in range(5)) * 1000
    slowest = max(alone, key=lambda name: alone[name])
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        save(folder, list(found.values()))
        size = statistics.mean(path.stat().st_size for path in folder.glob("*.json"))
        read_s, loaded = measured(lambda: _documents.read_snapshots(scratch))
        judged_s, document = measured(lambda: _diagnosis.diagnose(loaded, pack, lambda host: thresholds))
        told_s, dummy = measured(lambda: (_report.screen(document, "report.md", (), []), _markdown.markdown(document, loaded, ())))
    assert document["fleet"]["hosts"] == COUNT and document["fleet"]["unreached"] == 0, document["fleet"]
    each = {"read": read_s, "judged": judged_s, "told": told_s}
    paired.write("rules", [
        {"what": "%d snapshots, %d rules: CPU for each, JSON read and judged, ms" % (COUNT, len(pack)),
         "value": round((read_s + judged_s) / COUNT * 1000, 2), "goal": GOAL_MS,
         "each_ms": {name: round(seconds / COUNT * 1000, 2) for name, seconds in each.items()}, "snapshots": len(found), "mean_bytes": round(size),
         "states": document["fleet"], "rules_loaded_s": round(load_rules_s, 3),
         "note": "judged: all rules, memory over time, changes, what is shared; told: the screen and the report, which the goal leaves out"},
        {"what": "the slowest of %d different snapshots, judged alone, ms" % len(found), "value": round(alone[slowest], 2), "goal": GOAL_MS,
         "which": slowest, "median_ms": round(statistics.median(alone.values()), 2)},
        {"what": "memory of it, with all %d documents, MiB" % COUNT, "value": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024), "goal": 2048},
    ])


if __name__ == "__main__":
    main()
