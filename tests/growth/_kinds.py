# Copyright (c) 2026, oncall.pressure maintainers
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways in which memory grows that the runbooks name, with everything that can be drawn, and what is right to say of each."""

from __future__ import annotations

import random
from typing import Any, Callable, NamedTuple

MIB = 1024 * 1024


class Truth(NamedTuple):
    """What is right: the pattern, the level (null: any), the bytes that stay of each piece of work, a word that the evidence must have; by how many
    bytes it grows in a second, null where that is not the question."""

    pattern: str
    level: str | None = None
    per: float | None = None
    says: str | None = None
    per_s: float | None = None


class Drawn(NamedTuple):
    """One tree. ``work``: pieces of it at a part (0 to 1) of the time; ``starts``: workers by that part; ``restarts``: the same, in place of all."""

    truth: Truth
    component: str
    role: str
    work: Callable[[float], float]
    workers: list[dict[str, Any]]
    later: tuple[float, list[dict[str, Any]]] | None = None
    restart: tuple[float, list[dict[str, Any]]] | None = None
    master_per_s: float = 0.0
    #: the limit of the service in what it holds at the end; what is counted: requests, tasks, or nothing
    limit: float = 4.0
    counts: str | None = None
    #: the history is kept back: one moment, and the ages of the workers
    moment: bool = False


def worker(chance: random.Random, **given: Any) -> dict[str, Any]:
    """What a worker is told; it does nothing by itself."""
    told = {"base": 4 * MIB, "warm": 0, "warm_s": 1, "keep_per_s": 0, "keep_per_work": 0, "hold_per_work": 0, "retain": False, "noise": 0, "recycle_after": 0,
            "burn_s": 0.0, "seed": chance.randrange(2**31)}
    return {**told, **given}


def several(chance: random.Random, low: int = 2, high: int = 4, **given: Any) -> list[dict[str, Any]]:
    """Workers that are alike but for a little."""
    base = chance.uniform(3, 8) * MIB
    return [worker(chance, **{"base": base * chance.uniform(0.95, 1.05), **given}) for dummy in range(chance.randint(low, high))]


def constant(chance: random.Random) -> Callable[[float], float]:
    """Work that is always the same but for chance."""
    rate = chance.uniform(5, 40)
    return lambda part: rate * chance.uniform(0.9, 1.1)


def waves(chance: random.Random) -> tuple[Callable[[float], float], float]:
    """Work that comes and goes two or three times, and its most."""
    top, times, first = chance.uniform(20, 60), chance.choice([2, 2.5, 3]), chance.uniform(0.0, 0.15)
    return lambda part: top * chance.uniform(0.92, 1.0) * (1.0 if (part - first) * times % 1.0 < 0.5 and part >= first else 0.05), top


def uncounted(chance: random.Random, drawn: Drawn) -> Drawn:
    """In half of the cases nobody counts what it is given: the processors it uses must do."""
    if chance.random() < 0.5:
        return drawn
    workers = [dict(told, burn_s=0.0008) for told in drawn.workers]
    return drawn._replace(workers=workers, counts=None, truth=drawn.truth._replace(per=None))


def one_worker_grows(chance: random.Random, seconds: float) -> Drawn:
    workers, per_s = several(chance, 2), chance.uniform(8, 25) * MIB / seconds
    chance.choice(workers)["keep_per_s"] = per_s
    return uncounted(chance, Drawn(Truth("one_worker_growing", "one_worker", per_s=per_s), "gunicorn", "web", constant(chance), workers, counts="requests"))


def every_worker_large(chance: random.Random, seconds: float) -> Drawn:
    workers = several(chance, 3, base=chance.uniform(18, 26) * MIB)
    return Drawn(Truth("every_worker_large", "all_workers"), chance.choice(["gunicorn", "uvicorn"]), "web", constant(chance), workers,
                 limit=chance.uniform(1.05, 1.3), counts="requests")


def all_workers_grow(chance: random.Random, seconds: float) -> Drawn:
    workers = several(chance, 2, keep_per_s=chance.uniform(5, 12) * MIB / seconds)
    per_s = sum(told["keep_per_s"] for told in workers)
    return uncounted(chance, Drawn(Truth("mixed", "all_workers", per_s=per_s), "gunicorn", "web", constant(chance), workers, counts="requests"))


def all_workers_grow_idle(chance: random.Random, seconds: float) -> Drawn:
    workers = several(chance, 2, keep_per_s=chance.uniform(5, 12) * MIB / seconds)
    per_s = sum(told["keep_per_s"] for told in workers)
    return Drawn(Truth("high_while_idle", "all_workers", per_s=per_s), "uvicorn", "web", lambda part: 0.0, workers, counts="requests")


def follows_traffic(chance: random.Random, seconds: float) -> Drawn:
    work, top = waves(chance)
    workers = several(chance, 2)
    for told in workers:
        told["hold_per_work"] = chance.uniform(8, 14) * MIB / (top / len(workers))
    return uncounted(chance, Drawn(Truth("follows_traffic"), "gunicorn", "web", work, workers, counts="requests"))


def follows_jobs(chance: random.Random, seconds: float) -> Drawn:
    drawn = follows_traffic(chance, seconds)
    return drawn._replace(truth=Truth("follows_jobs"), component="celery", role="worker", counts=drawn.counts and "tasks")


def grows_with_tasks(chance: random.Random, seconds: float) -> Drawn:
    work, top = waves(chance)
    each = chance.uniform(15, 30) * MIB / (top * seconds * 2 * 0.5)
    return uncounted(chance, Drawn(Truth("follows_jobs", per=each), "celery", "worker", work, several(chance, 2, keep_per_work=each), counts="tasks"))


def grows_with_requests(chance: random.Random, seconds: float) -> Drawn:
    drawn = grows_with_tasks(chance, seconds)
    return drawn._replace(truth=Truth("follows_traffic", per=drawn.truth.per), component="gunicorn", role="web", counts=drawn.counts and "requests")


def high_while_idle(chance: random.Random, seconds: float) -> Drawn:
    start, end, top = chance.uniform(0.15, 0.3), chance.uniform(0.45, 0.6), chance.uniform(20, 60)
    workers = several(chance, 2, retain=True)
    for told in workers:
        told["hold_per_work"] = chance.uniform(8, 14) * MIB / (top / len(workers))
    component, role, counts = chance.choice([("gunicorn", "web", "requests"), ("celery", "worker", "tasks")])
    return uncounted(chance, Drawn(Truth("high_while_idle"), component, role, lambda part: top if start <= part < end else top * 0.03, workers, counts=counts))


def more_workers(chance: random.Random, seconds: float) -> Drawn:
    workers = several(chance, 2, 3, base=chance.uniform(8, 14) * MIB)
    more = [worker(chance, base=workers[0]["base"]) for dummy in range(chance.randint(2, 3))]
    return Drawn(Truth("jump_after_concurrency_change", says="drop-in"), "gunicorn", "web", constant(chance), workers,
                 later=(chance.uniform(0.3, 0.6), more), counts="requests")


def larger_after_a_deploy(chance: random.Random, seconds: float) -> Drawn:
    workers = several(chance, 2, 3, base=chance.uniform(5, 8) * MIB)
    larger = [dict(told, base=told["base"] * 3) for told in workers]
    return Drawn(Truth("every_worker_large", says="releases/"), "gunicorn", "web", constant(chance), workers,
                 restart=(chance.uniform(0.3, 0.6), larger), limit=chance.uniform(1.1, 1.3), counts="requests")


def warms_up(chance: random.Random, seconds: float) -> Drawn:
    workers = several(chance, 2, warm=chance.uniform(6, 12) * MIB, warm_s=seconds * chance.uniform(0.2, 0.5))
    return Drawn(Truth("steady"), "gunicorn", "web", constant(chance), workers, counts="requests")


def background_grows(chance: random.Random, seconds: float) -> Drawn:
    per_s = chance.uniform(8, 25) * MIB / seconds
    return Drawn(Truth("one_worker_growing", "background", per_s=per_s), "other", "other", lambda part: 0.0, [], master_per_s=per_s)


def parent_grows(chance: random.Random, seconds: float) -> Drawn:
    per_s = chance.uniform(10, 25) * MIB / seconds
    return Drawn(Truth("mixed", "tree", per_s=per_s), "gunicorn", "web", constant(chance), several(chance, 2), master_per_s=per_s, counts="requests")


def steady(chance: random.Random, seconds: float) -> Drawn:
    component, role, counts = chance.choice([("gunicorn", "web", "requests"), ("celery", "worker", "tasks")])
    return uncounted(chance, Drawn(Truth("steady"), component, role, constant(chance), several(chance, 2), counts=counts))


def recycled(chance: random.Random, seconds: float) -> Drawn:
    rate = chance.uniform(10, 30)
    workers = several(chance, 2, 4)
    per_life = rate / len(workers) * seconds * 2 / chance.uniform(3, 5)
    together = chance.random() < 0.5
    for number, told in enumerate(workers):
        # those that do not begin together have a first life of another length
        told.update(keep_per_work=chance.uniform(8, 14) * MIB / per_life, again=per_life * chance.uniform(0.9, 1.1))
        told["recycle_after"] = told["again"] * (1.0 if together else (number + 1) / len(workers))
    return Drawn(Truth("steady"), "gunicorn", "web", lambda part: rate, workers, counts="requests")


def noisy(chance: random.Random, seconds: float) -> Drawn:
    return Drawn(Truth("steady"), "gunicorn", "web", constant(chance), several(chance, 2, noise=chance.uniform(3, 8) * MIB), counts="requests")


def older_are_larger(chance: random.Random, seconds: float) -> Drawn:
    return _of_ages(chance, Truth("mixed", "all_workers"), chance.uniform(14, 24) * MIB / seconds)


def older_are_alike(chance: random.Random, seconds: float) -> Drawn:
    return _of_ages(chance, Truth("steady"), 0.0)


def _of_ages(chance: random.Random, truth: Truth, keep_per_s: float) -> Drawn:
    """Workers that began one after the other, seen at one moment."""
    base = chance.uniform(3, 6) * MIB
    fresh = [worker(chance, base=base * chance.uniform(0.97, 1.03), keep_per_s=keep_per_s) for dummy in range(6)]
    return Drawn(truth, "gunicorn", "web", lambda part: 1.0, fresh[:1], later=(-1.0, fresh[1:]), moment=True)


KINDS: dict[str, Callable[[random.Random, float], Drawn]] = {
    kind.__name__: kind for kind in (
        one_worker_grows, every_worker_large, all_workers_grow, all_workers_grow_idle, follows_traffic, follows_jobs, grows_with_tasks, grows_with_requests,
        high_while_idle, more_workers, larger_after_a_deploy, warms_up, background_grows, parent_grows, steady, recycled, noisy, older_are_larger,
        older_are_alike,
    )
}
