"""torchrun's variables."""

from collections.abc import Mapping

import pytest

from rloop_trainer.world import BadWorld, World, set_defaults, world

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
        ({"RANK": "x"}, "RANK is 'x', which is no whole number; torchrun sets it"),
        ({"RANK": "-1"}, "RANK is '-1', which is no whole number; torchrun sets it"),
        ({"RANK": "4"}, "RANK is 4, which does not lie below WORLD_SIZE (4)"),
        ({"RANK": ""}, "RANK is not set, and WORLD_SIZE is 4: start the ranks with torchrun"),
        ({"MASTER_ADDR": ""}, "MASTER_ADDR is not set, and WORLD_SIZE is 4"),
        ({"MASTER_PORT": ""}, "MASTER_PORT is not set, and WORLD_SIZE is 4"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE is 0: there is at least one rank"),
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
