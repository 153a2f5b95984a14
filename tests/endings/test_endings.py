# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a run ends: its exit status, what it says and what it leaves, over the real ansible-playbook."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import typing as t
from pathlib import Path

import jsonschema
import pytest

ROOT = Path(__file__).resolve().parents[2]
SAVED = Path(__file__).resolve().parent / "recordings"
PLAYBOOK = Path(sys.executable).parent / "ansible-playbook"


class Ended(t.NamedTuple):
    """How a run ended."""

    status: int
    out: str
    err: str
    folder: Path

    def document(self, name: str) -> dict[str, t.Any]:
        """One of its documents."""
        return t.cast("dict[str, t.Any]", json.loads((self.folder / "latest" / name).read_text(encoding="utf-8")))

    def line(self, words: str) -> str:
        """The wrapped text of the screen as one line, which must hold these words."""
        text = " ".join((self.out + " " + self.err).split())
        assert words in text, text
        return text


def diagnose(folder: Path, *arguments: str, inventory: str = "localhost,", **environment: str) -> Ended:
    """Run the playbook against this host, quickly."""
    folder = folder / "reports"
    argv = [str(PLAYBOOK), str(ROOT / "playbooks" / "diagnose.yml"), "-i", inventory, "-e", "pressure_report_dir=%s" % folder, "-e", "pressure_window=0.2",
            "-e", "pressure_become=false", "-e", json.dumps({"ansible_python_interpreter": sys.executable})]
    if inventory == "localhost,":
        argv += ["-c", "local"]
    done = subprocess.run(argv + list(arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, timeout=120, check=False,
                          env=dict(os.environ, ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), ANSIBLE_COLLECTIONS_PATH=str(ROOT / ".venv" / "collections"),
                                   LC_ALL="C.UTF-8", **environment))
    return Ended(done.returncode, done.stdout, done.stderr, folder)


def saved(tmp_path: Path, *names: str) -> str:
    """A folder with some of the saved snapshots."""
    folder = tmp_path / "saved"
    folder.mkdir()
    for name in names:
        for path in (SAVED / name).iterdir():
            shutil.copy(path, folder / path.name)
    return "pressure_snapshots=%s" % folder


@pytest.mark.parametrize("kind", ["sick", "healthy"])
def test_the_saved_snapshots_are_valid(kind: str) -> None:
    schema = json.loads((ROOT / "roles/diagnose/files/schemas/snapshot.json").read_text(encoding="utf-8"))
    for path in (SAVED / kind).iterdir():
        assert list(jsonschema.Draft202012Validator(schema).iter_errors(json.loads(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize("arguments", [(), ("--check",), ("--check", "--diff")], ids=["run", "check", "check and diff"])
def test_this_host_answers(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ended = diagnose(tmp_path, *arguments)
    assert ended.status == 0, ended.out + ended.err
    ended.line("1 host: 1 ")
    snapshot = ended.document("snapshots/localhost.json")
    assert snapshot["name"] == "localhost" and set(snapshot["collectors"]) == {
        "host", "services", "units", "oom", "nginx", "jobs", "health", "containers", "logs", "connections", "changes", "redis", "postgres",
        "memory_history", "stacks"}
    assert ended.document("diagnosis.json")["hosts"]["localhost"]["reached"] is True
    assert (ended.folder / "latest" / "report.md").is_file()


def test_nobody_answers(tmp_path: Path) -> None:
    ended = diagnose(tmp_path, "-e", "ansible_port=1", inventory="127.0.0.1,")
    assert ended.status == 4
    ended.line("nothing listens on its ssh port")
    ended.line("1 host: 1 unreached.")


def test_one_of_two_answers(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("here ansible_connection=local\nthere ansible_host=127.0.0.1 ansible_port=1\n")
    ended = diagnose(tmp_path, inventory=str(tmp_path / "hosts"))
    assert ended.status == 0
    ended.line("2 hosts: ")
    assert ended.document("diagnosis.json")["fleet"]["unreached"] == 1


def test_no_python(tmp_path: Path) -> None:
    ended = diagnose(tmp_path, "-e", "ansible_python_interpreter=/usr/bin/no-such-python")
    assert ended.status == 4
    ended.line("no Python runs at /usr/bin/no-such-python")
    ended.line("set ansible_python_interpreter=/")


def old_python() -> str | None:
    """A real Python below 3.8 on this machine."""
    folders = [Path.home() / ".pyenv" / "versions" / name / "bin" / "python3" for name in ("3.6.15", "3.7.16", "3.7.17")]
    for path in [*map(str, folders), shutil.which("python3.6"), shutil.which("python3.7"), "/usr/libexec/platform-python"]:
        if path and os.path.exists(path):
            said = subprocess.run([path, "-c", "import sys; print(sys.version_info < (3, 8))"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                  check=False)
            if said.stdout.strip() == "True":
                return path
    return None


@pytest.mark.skipif(old_python() is None, reason="no Python below 3.8 is installed here to be refused")
def test_an_old_python(tmp_path: Path) -> None:
    path = old_python()
    ended = diagnose(tmp_path, "-e", "ansible_python_interpreter=%s" % path)
    assert ended.status == 4
    ended.line("its Python is too old: found 3.")
    ended.line("needed is Python 3.")


def test_a_healthy_host_is_silent_and_an_incident_is_not(tmp_path: Path) -> None:
    ended = diagnose(tmp_path, "-e", saved(tmp_path, "sick", "healthy"))
    assert ended.status == 0
    ended.line("2 hosts: 1 healthy, 1 memory.")
    assert "lab-2" not in ended.out.split("PLAY RECAP")[0]
    verdict = ended.document("diagnosis.json")["hosts"]["lab-1"]["verdicts"][0]
    assert (verdict["resource"], verdict["cause"], verdict["component"]) == ("memory", "concurrency", "gunicorn")


@pytest.mark.parametrize("fail_on,names,status", [
    ("incident", ("sick", "healthy"), 3), ("incident", ("healthy",), 0), ("unknown", ("sick",), 0), ("[incident, unknown]", ("sick",), 3)])
def test_an_incident_may_end_the_run(tmp_path: Path, fail_on: str, names: tuple[str, ...], status: int) -> None:
    ended = diagnose(tmp_path, "-e", saved(tmp_path, *names), "-e", "{pressure_fail_on: %s}" % fail_on)
    assert ended.status == status, ended.out + ended.err
    assert (ended.folder / "latest" / "diagnosis.json").is_file()


BAD_INPUT = {
    "a window too long": (["-e", "pressure_window=900"], "window must be from 0.1 to 60.0, not 900"),
    "a window that is no number": (["-e", "pressure_window=soon"], "argument 'window' is of type str"),
    "what to fail on": (["-e", "pressure_fail_on=everything"], "everything"),
    "no such folder of rules": (["-e", "pressure_rules_dirs=/no/such/rules"], "/no/such/rules"),
    "no such snapshots": (["-e", "pressure_snapshots=/no/such/snapshots"], "/no/such/snapshots"),
    "no such threshold": (["-e", "{pressure_thresholds: {no.such_rule: {x: 1}}}"], "no.such_rule"),
}


@pytest.mark.parametrize("arguments,words", BAD_INPUT.values(), ids=BAD_INPUT.keys())
def test_bad_input_is_named(tmp_path: Path, arguments: list[str], words: str) -> None:
    ended = diagnose(tmp_path, *arguments)
    assert ended.status == 2, ended.out + ended.err
    ended.line(words)


def test_a_report_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = diagnose(tmp_path, "-e", "pressure_report_dir=%s" % (tmp_path / "file" / "reports"))
    assert ended.status == 2
    ended.line("no report can be written under %s" % (tmp_path / "file" / "reports"))


def test_a_broken_rule_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "mine.yml").write_text("- id: mine.broken\n  subjekt: host\n")
    ended = diagnose(tmp_path, "-e", saved(tmp_path, "sick"), "-e", "pressure_rules_dirs=%s" % (tmp_path / "rules"))
    assert ended.status == 2
    ended.line("mine.yml:")
    ended.line("1 host: 1 memory.")


OWN_RULES = """
# takes the place of a shipped one
- id: web.too_many_workers_for_memory
  title: Ours says it
  subject: service
  scope: [component, "==", gunicorn]
  facts: {component: service.component, workers: derived.workers.count, kills: derived.kills.count}
  when: [[workers, ">=", 2], [kills, ">=", 1]]
  says: {resource: memory, cause: limit_too_low}
  weight: 90
  confidence: [{level: high}]
  explains: [service.limit_too_low, service.killed_in_its_limit]
  summary: ["ours counts {workers:count} workers"]
  evidence: ["{kills:count} kills"]
  next: []
  lasting: []
  source: []
# is added
- id: mine.crowd
  title: A crowd of processes
  subject: host
  facts: {processes: processes.count}
  thresholds:
    processes: {enter: 100000, leave: 90000, unit: count, doc: processes that are a crowd}
  when: [processes, ">=", $processes]
  says: {resource: cpu, cause: jobs}
  weight: 5
  confidence: [{level: low}]
  summary: ["{processes:count} processes are more than {processes:count}"]
  evidence: ["{processes:count} processes"]
  next: []
  lasting: []
  source: []
"""


@pytest.mark.parametrize("broken", [False, True], ids=["whole", "one is broken"])
def test_an_inventory_replaces_adds_and_tunes_rules(tmp_path: Path, broken: bool) -> None:
    """Nothing of the collection is touched: a folder of rules beside the inventory, and variables of a group and of a host."""
    place = tmp_path / "inventory"
    for name in ("rules", "group_vars", "host_vars"):
        (place / name).mkdir(parents=True)
    (place / "hosts").write_text("[shop]\nlab-1 ansible_connection=local\nlab-2 ansible_connection=local\n")
    (place / "group_vars" / "shop.yml").write_text("pressure_rules_dirs: ['{{ inventory_dir }}/rules']\n")
    # the healthy one of both is tuned
    (place / "host_vars" / "lab-2.yml").write_text("pressure_thresholds: {mine.crowd: {processes: 1}}\n")
    (place / "rules" / "ours.yml").write_text(OWN_RULES)
    if broken:
        (place / "rules" / "typo.yml").write_text("# a comment\n" + OWN_RULES.replace("subject: service", "subject: servise"))
    ended = diagnose(tmp_path, "-e", saved(tmp_path, "sick", "healthy"), inventory=str(place / "hosts"))
    assert ended.status == (2 if broken else 0), ended.out + ended.err
    if broken:
        # of the rule whose subject is misspelt, the rest of its file goes on
        ended.line("typo.yml:6: subject must be one of host, service")
    hosts = ended.document("diagnosis.json")["hosts"]
    named = {host: [(verdict["rule"], verdict["cause"]) for verdict in row["verdicts"]] for host, row in hosts.items()}
    assert named["lab-1"][0] == ("web.too_many_workers_for_memory", "limit_too_low")
    assert hosts["lab-1"]["verdicts"][0]["summary"].startswith("ours counts ")
    assert "mine.crowd" not in [rule for rule, dummy in named["lab-1"]]
    assert named["lab-2"] == [("mine.crowd", "jobs")]


def test_a_broken_snapshot_is_one_hosts_line(tmp_path: Path) -> None:
    argument = saved(tmp_path, "healthy")
    (tmp_path / "saved" / "broken.json").write_text("{\"schema\": 1, ")
    (tmp_path / "saved" / "strange.json").write_text("{\"schema\": 1, \"name\": \"strange\", \"host\": [], \"services\": {\"a\": 1}}")
    ended = diagnose(tmp_path, "-e", argument)
    assert ended.status == 0
    ended.line("3 hosts: 1 healthy")
    ended.line("broken")


def test_standard_output_that_belongs_to_a_machine_stays_clean(tmp_path: Path) -> None:
    ended = diagnose(tmp_path, "-e", saved(tmp_path, "sick"), ANSIBLE_STDOUT_CALLBACK="ansible.builtin.minimal")
    assert ended.status == 0
    assert "MEMORY" in ended.err and "MEMORY" not in ended.out
