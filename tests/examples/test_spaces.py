"""Each example's space.yaml, recipe and loop.yaml belong together: names, defaults, ranges, folders."""

import json
from types import ModuleType
from typing import Any

import pytest
import yaml
from tests.examples.runner import EXAMPLES

OWN = ["01-kuhn-selfplay", "02-shell-awk"]
ALL = [*OWN, "03-grpo-addition"]
"""The last one's recipe holds more than its space."""
FIELDS = {"hypothesis", "method", "data", "representation", "objective"}


def space(example: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((EXAMPLES / example / "task" / "space.yaml").read_text())
    return content


def start(example: str) -> dict[str, Any]:
    """The recipe that the campaign starts from."""
    file = EXAMPLES / example / "task" / space(example)["file"]
    content: dict[str, Any] = json.loads(file.read_text())
    return content


@pytest.mark.parametrize("example", OWN)
def test_the_recipe_is_what_the_defaults_say(example: str) -> None:
    dimensions = space(example)["dimensions"]
    frame = {d["name"]: d["default"] for d in dimensions if d.get("structural")}
    exist = [d for d in dimensions if all(frame[name] in allowed for name, allowed in d.get("when", {}).items())]
    assert start(example) == {d["key"]: d["default"] for d in exist}


@pytest.mark.parametrize("example", ALL)
def test_every_dimension_is_well_formed(example: str) -> None:
    dimensions = space(example)["dimensions"]
    structural = {d["name"]: d["values"] for d in dimensions if d.get("structural")}
    for dimension in dimensions:
        if dimension.get("structural"):
            assert dimension["field"] in FIELDS
        if "values" in dimension:
            assert dimension["default"] in dimension["values"]
        else:
            assert dimension["low"] <= dimension["default"] <= dimension["high"]
        for name, allowed in dimension.get("when", {}).items():
            assert set(allowed) <= set(structural[name])


def test_the_kuhn_recipe_takes_every_value_of_its_space(kuhn_task: dict[str, ModuleType]) -> None:
    complete = kuhn_task["recipe"].complete
    dimensions = space("01-kuhn-selfplay")["dimensions"]
    for dimension in dimensions:
        for value in dimension.get("values") or [dimension["low"], dimension["high"]]:
            assert complete({dimension["key"]: value})[dimension["key"]] == value
    # What is left out means the same for the task and for the space.
    assert complete({}) == {d["key"]: d["default"] for d in dimensions}


@pytest.mark.parametrize("example", ALL)
def test_the_loop_names_what_exists(example: str) -> None:
    folder = EXAMPLES / example
    spec = yaml.safe_load((folder / "loop.yaml").read_text())["spec"]
    assert (folder / spec["task"]["path"] / spec["experiment"]["command"][-1]).is_file()
    assert (folder / spec["evaluation"]["code"]["path"] / spec["evaluation"]["command"][-1]).is_file()
    assert all((folder / spec["task"]["path"] / name).is_file() for name in spec["boundaries"]["editable"])
    if "heldOut" in spec["evaluation"]:
        assert (folder / spec["evaluation"]["heldOut"]["path"]).is_dir()
