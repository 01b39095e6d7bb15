"""torchrun's variables."""

from collections.abc import Mapping

import pytest

from rloop_trainer.world import BadWorld, World, check_gpus, see_one_gpu, set_defaults, world

RANKS = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500"}


@pytest.mark.parametrize(
    ("environment", "found", "first"),
    [
        ({}, World(0, 1, 0), True),
        ({"RANK": "", "WORLD_SIZE": ""}, World(0, 1, 0), True),
        (RANKS, World(3, 4, 1), False),
        ({**RANKS, "RANK": "0"}, World(0, 4, 1), True),
    ],
)
def test_who_this_process_is(environment: Mapping[str, str], found: World, first: bool) -> None:
    assert world(environment) == found
    assert found.first == first


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"RANK": "x"}, "RANK is 'x', which is not a whole number; torchrun sets it"),
        ({"RANK": "-1"}, "RANK is '-1', which is not a whole number; torchrun sets it"),
        ({"RANK": "4"}, "RANK is 4, which is not less than WORLD_SIZE (4)"),
        ({"RANK": ""}, "RANK is not set, and WORLD_SIZE is 4: start the ranks with torchrun"),
        ({"MASTER_ADDR": ""}, "MASTER_ADDR is not set, and WORLD_SIZE is 4"),
        ({"MASTER_PORT": ""}, "MASTER_PORT is not set, and WORLD_SIZE is 4"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE is 0: it must be at least 1"),
    ],
)
def test_what_does_not_fit_together(changes: Mapping[str, str], sentence: str) -> None:
    with pytest.raises(BadWorld) as caught:
        world({**RANKS, **changes})
    assert str(caught.value).startswith(sentence)


def test_what_the_user_has_set_stays() -> None:
    environment = {"TOKENIZERS_PARALLELISM": "true"}
    set_defaults(environment)
    assert environment["TOKENIZERS_PARALLELISM"] == "true"
    assert environment["HF_HUB_DISABLE_TELEMETRY"] == "1"


@pytest.mark.parametrize(
    ("seen", "ranks", "left"),
    [
        (None, 1, "0"),
        ("2,3", 1, "2"),
        ("GPU-5ebe9f43,1", 1, "GPU-5ebe9f43"),
        ("", 1, ""),
        ("2,3", 2, "2,3"),
        (None, 2, None),
    ],
)
def test_a_run_of_one_process_sees_one_gpu(seen: str | None, ranks: int, left: str | None) -> None:
    environment = {} if seen is None else {"CUDA_VISIBLE_DEVICES": seen}
    see_one_gpu(World(0, ranks, 0), environment)
    assert environment.get("CUDA_VISIBLE_DEVICES") == left


def test_each_rank_of_a_node_needs_a_gpu() -> None:
    check_gpus(World(5, 8, 1), 2)
    with pytest.raises(BadWorld, match="LOCAL_RANK is 1, but this process sees 1 GPU: start no more ranks than"):
        check_gpus(World(5, 8, 1), 1)
    with pytest.raises(BadWorld, match="LOCAL_RANK is 2, but this process sees 2 GPUs"):
        check_gpus(World(2, 4, 2), 2)
