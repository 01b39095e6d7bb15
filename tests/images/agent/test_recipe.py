"""The recipe file."""

import json

import pytest
import yaml

from rloop.api.space import Point, Space
from rloop_agent import recipe
from rloop_agent.recipe import BadRecipe
from rloop_agent.testing import RECIPE, SPACE

YAML = SPACE.model_copy(update={"file": "recipe.yaml"})
POINT: Point = {"method": "smooth", "loss": 2, "rate": 0.01, "depth": 4, "width": 16}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('{"method": "plain"}', "{"),
        ('{\n  "method": "plain"\n}', '{\n  "method"'),
        ('{\n\t"method": "plain"\n}', '{\n\t"method"'),
        (RECIPE, '{\n  "method"'),
    ],
)
def test_json_keeps_its_layout_and_reads_back(text: str, wanted: str) -> None:
    document = recipe.parse(SPACE, {"recipe.json": text})
    written = recipe.render(SPACE, text, document, POINT)
    assert written.startswith(wanted)
    assert written.endswith("}\n")
    assert recipe.point(SPACE, recipe.parse(SPACE, {"recipe.json": written})) == POINT


def test_yaml_reads_back_and_keeps_what_is_no_dimension() -> None:
    text = "# a comment\nother: [1, 2]\nmethod: plain\nmodel: {loss: 1, heads: 2}\n"
    written = recipe.render(YAML, text, recipe.parse(YAML, {"recipe.yaml": text}), POINT)
    document = yaml.safe_load(written)
    assert (document["other"], document["model"]["heads"]) == ([1, 2], 2)
    assert recipe.point(YAML, recipe.parse(YAML, {"recipe.yaml": written})) == POINT


KEPT = """\
# what the comments say stays
seed: 0755   # octal for us, and untouched
name: "in quotes"
cutoff: 2024-01-01
layers:
    - 3  # first
    - 4
model:
    loss: 1   # 1 or 2
    heads: {a: 1, b: [2, 3]}
method: plain
rate: 0.1  # per step
"""


def test_in_yaml_only_the_lines_with_changed_values_differ() -> None:
    space = Space.model_validate(
        {
            "file": "recipe.yaml",
            "dimensions": [
                {"name": "loss", "key": "model.loss", "low": 1, "high": 9, "integer": True, "default": 1},
                {"name": "rate", "key": "rate", "low": 0.0, "high": 1.0, "default": 0.1},
            ],
        }
    )
    written = recipe.render(space, KEPT, recipe.parse(space, {"recipe.yaml": KEPT}), {"loss": 2, "rate": 0.1})
    before, after = KEPT.splitlines(), written.splitlines()
    assert [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]] == [
        ("    loss: 1   # 1 or 2", "    loss: 2   # 1 or 2")
    ]


def test_a_value_that_exists_no_longer_is_removed() -> None:
    text = '{"method": "smooth", "width": 16}'
    written = recipe.render(SPACE, text, json.loads(text), {"method": "plain", "rate": 0.1})
    assert "width" not in json.loads(written)


@pytest.mark.parametrize(
    ("space", "files", "sentence"),
    [
        (SPACE, {}, "recipe.json: the file is missing or is not text"),
        (SPACE, {"recipe.json": "{"}, "recipe.json: it cannot be read as JSON: Expecting"),
        (SPACE, {"recipe.json": "[" * 100_000}, "recipe.json: "),
        (SPACE, {"recipe.json": "[1]"}, "recipe.json: expected a mapping"),
        (YAML, {"recipe.yaml": "a: [1"}, "recipe.yaml: it cannot be read as YAML: line "),
        (YAML, {"recipe.yaml": "a: &b 1\nc: *b"}, "line 2: aliases"),
        (SPACE, {"recipe.json": '{"method": "other"}'}, '"method" is "other"'),
    ],
)
def test_a_bad_recipe_is_named(space: Space, files: dict[str, str], sentence: str) -> None:
    with pytest.raises(BadRecipe) as caught:
        recipe.point(space, recipe.parse(space, files))
    assert sentence in str(caught.value)


def test_keys_that_do_not_fit_the_file_are_named() -> None:
    with pytest.raises(BadRecipe, match=r"do not match the file"):
        recipe.render(SPACE, RECIPE, {"model": 5}, POINT)


def test_an_empty_file_is_an_empty_mapping() -> None:
    assert recipe.parse(YAML, {"recipe.yaml": "# nothing yet\n"}) == {}
