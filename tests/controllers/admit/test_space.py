"""A space.yaml at Accept: its points are counted if they can be tried, and it never holds up the operator."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.hang import no_hang

from rloop.admit.space import look as look_at
from rloop.api.loop_status import SealedSpace
from rloop.errors import BadInput

FEW: dict[str, Any] = {"name": "size", "key": "size", "values": [1, 2, 3], "default": 1}


def structural(name: str, *values: str) -> dict[str, Any]:
    fields = {"name": name, "key": name, "values": list(values), "default": values[0]}
    return fields | {"structural": True, "field": "data"}


def task(*dimensions: dict[str, Any], file: str = "recipe.json", recipe: str = "") -> dict[str, str]:
    text = recipe or json.dumps({one["key"]: one["default"] for one in dimensions})
    return {"space.yaml": json.dumps({"file": file, "dimensions": dimensions}), file: text}


BINARY = [structural(name, "0", "1") for name in "abcdefghijkl"]
"""4096 frames."""


def look(files: dict[str, str], editable: list[str]) -> SealedSpace | None:
    return look_at(files, editable).space


def test_the_points_of_all_frames_are_counted() -> None:
    found = look(task(structural("net", "mlp", "rnn"), FEW | {"when": {"net": ["rnn"]}}), ["recipe.json"])
    assert found is not None
    assert found.points == 1 + 3
    assert look(task(*BINARY), ["recipe.json"]).points == 4096  # type: ignore[union-attr]


def test_without_structural_dimensions_there_is_one_frame() -> None:
    assert look_at(task(FEW), ["*"]).one_frame
    assert not look_at(task(BINARY[0], FEW), ["*"]).one_frame
    assert not look_at({"recipe.json": "{}"}, ["*"]).one_frame, "no space.yaml: directions have fields in words"


@pytest.mark.parametrize(
    "dimensions",
    [
        pytest.param(
            [FEW | {"name": f"n{i}", "key": f"k{i}", "when": {"a": ["0"] * 8}} for i in range(90)],
            id="many that depend",
        ),
        pytest.param(
            [
                FEW | {"name": f"n{i}", "key": f"k{i}", "when": {one: ["0"] for one in "abcdefghijkl"}}
                for i in range(40)
            ],
            id="on much",
        ),
        pytest.param([FEW | {"name": f"n{i}", "key": f"k{i}"} for i in range(4)], id="as many as are counted"),
    ],
)
def test_no_space_takes_long_to_count(dimensions: list[dict[str, Any]]) -> None:
    with no_hang():  # alone it takes 0.2 s
        look(task(*BINARY, *dimensions), ["recipe.json"])


@pytest.mark.parametrize("when", [{"a": ["0"] * 65}, {f"n{i}": ["0"] for i in range(33)}], ids=["values", "names"])
def test_a_condition_is_bounded(when: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=r"dimension .size.: when.*: holds (65|33) items; at most (64|32) are allowed"):
        look(task(BINARY[0], FEW | {"when": when}), ["recipe.json"])


def test_a_long_yaml_recipe_is_refused_with_the_remedy() -> None:
    long = "# a comment\n" * 2000
    with pytest.raises(
        BadInput, match=r"recipe.yaml: it has 24000 characters; .*the maximum for YAML is 16384: make it smaller"
    ):
        look(task(FEW, file="recipe.yaml", recipe=long), ["recipe.yaml"])
    assert look(task(FEW, recipe=json.dumps({"size": 1, "more": long})), ["recipe.json"]) is not None


@pytest.mark.parametrize(
    ("dimension", "recipe", "said"),
    [
        ({"key": "siez"}, {"size": 2}, r'dimension "size": "recipe.json" has no "siez": did you mean "size"\?'),
        ({"key": "model.size"}, {"model": {}}, r'has no "model.size": add it to the file, with the value'),
        ({"default": 3}, {"size": 2}, r'default is 3, but "recipe.json" has 2: the default must be the value'),
    ],
)
def test_a_space_that_does_not_describe_the_task_is_refused(
    dimension: dict[str, Any], recipe: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        look(task(FEW | {"name": "size"} | dimension, recipe=json.dumps(recipe)), ["recipe.json"])


def test_two_dimensions_of_one_name_are_a_problem_of_the_file() -> None:
    with pytest.raises(BadInput, match=r"^space.yaml: two dimensions have the name a$"):
        look(task(BINARY[0], BINARY[0] | {"key": "other"}), ["recipe.json"])
