"""No answer hides in an agent: renaming and shuffling everything in example 01's space changes nothing for it."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from itertools import repeat

import pytest
from benchmarks.campaigns import kuhn
from benchmarks.campaigns.renamed import renamed_task

SEEDS = range(1, 21)
OFTEN = 18


def _met(policy: str, renamed: bool, seed: int) -> bool:
    task = renamed_task(seed) if renamed else kuhn.example_task()
    return kuhn.campaign(kuhn.example_loop(seed), task, kuhn.policy_agent(policy), seed).met


def test_the_renamed_task_trains_exactly_as_the_original() -> None:
    task = renamed_task(1)
    document = kuhn.modules()["recipe"].json.loads(task.files[kuhn.RECIPE])
    original = kuhn.modules()["recipe"].json.loads(kuhn.example_task().files[kuhn.RECIPE])
    assert task.translate(document) == original
    assert not set(document) & set(original)


@pytest.mark.timeout(400)
def test_an_agent_meets_the_target_as_often_under_other_names() -> None:
    with ProcessPoolExecutor(2) as pool:
        plain = sum(pool.map(_met, repeat("random-search"), repeat(False), SEEDS))
        renamed = sum(pool.map(_met, repeat("random-search"), repeat(True), SEEDS))
    # Both nearly always; or a difference that chance makes (5 of 20 is two standard deviations of a share of 0.8).
    assert (plain >= OFTEN and renamed >= OFTEN) or abs(plain - renamed) <= 5
