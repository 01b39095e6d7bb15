"""What a recipe's text is read as, whatever an agent or a task writes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.hang import no_hang

from rloop.api.reading import document


@pytest.mark.parametrize(
    ("text", "read"),
    [
        pytest.param("cutoff: 2024-01-01", {"cutoff": "2024-01-01"}, id="a date is data"),
        pytest.param("cutoff: 2024-02-31", {"cutoff": "2024-02-31"}, id="also one that no calendar has"),
        pytest.param("1: x\ntrue: y\nnull: z", {"1": "x", "true": "y", "null": "z"}, id="keys are text"),
        pytest.param("mode: 0755", {"mode": 493}, id="numbers as PyYAML reads them"),
        pytest.param("a: =", {"a": "="}, id="an equals sign"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_yaml_is_read_as_plain_data(text: str, read: Any) -> None:
    assert document.read("recipe.yaml", text) == read


BOMB = "a: &a [1, 1]\n" + "".join(
    f"{new}: &{new} [*{old}, *{old}]\n" for old, new in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        pytest.param("r.yaml", BOMB, "line 2: aliases", id="aliases that multiply"),
        pytest.param("r.yaml", "<<: {a: 1}", "merge key", id="merge keys"),
        pytest.param("r.yaml", "a: 1\na: 2", 'line 2: the key "a" occurs twice', id="a key twice"),
        pytest.param("r.yaml", "? [1]\n: 2", "a key must be plain text", id="a list as key"),
        pytest.param("r.yaml", "a: !!binary YQ==", "binary", id="bytes"),
        pytest.param("r.yaml", "a: !!set {b}", "set", id="a set"),
        pytest.param("r.yaml", "a: !!python/name:os.system x", "os.system", id="a Python object"),
        pytest.param("r.yaml", "[" * 10_000, "nested deeper", id="deep brackets"),
        pytest.param("r.yaml", "a: 0b" + "1" * 10_000, "19 digits", id="an endless number"),
        pytest.param("r.json", "[" * 100_000, "nested deeper", id="deep JSON"),
        pytest.param("r.json", "9" * 5000, "4300", id="an endless number in JSON"),
        pytest.param("r.json", "1" + "0" * 30, "19 digits", id="a long one"),
        pytest.param("r.yaml", " " * 20_000, "the maximum for YAML is 16384: make it smaller", id="a long text"),
        pytest.param("r.json", " " * 300_000, "the maximum for JSON is 262144: keep data", id="long JSON"),
        pytest.param("r.yaml", "a: \x00", "cannot be read", id="a control character"),
    ],
)
def test_a_refusal_is_a_sentence(file: str, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"it (cannot|is nested|has)") as caught:
        document.read(file, text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("part", ["1,", "[],", "[" * 60 + "]" * 60 + ",", "1:1,", "{a: b},"])
def test_the_longest_text_is_read_in_a_moment(part: str) -> None:
    """The operator reads it in the event loop that renews its Lease, whose fence is 10 s."""
    text = f"[{part * (16_000 // len(part))}]"
    with no_hang():  # alone it takes less than 0.1 s
        document.read("r.yaml", text)


def test_json_may_be_longer_because_it_is_read_fast() -> None:
    assert len(document.read("r.json", f"[{'1,' * 100_000}1]")) == 100_001


YAML_PARTS = st.sampled_from(
    [
        "a",
        "1",
        ": ",
        "- ",
        "\n",
        "  ",
        "&x ",
        "*x",
        "{",
        "}",
        "[",
        "]",
        "!!int ",
        "2024-01-01",
        "|",
        "\t",
        '"',
        "#",
        "~",
    ]
)


@given(text=st.one_of(st.text(max_size=200), st.lists(YAML_PARTS, max_size=40).map("".join)))
@settings(max_examples=400)
@pytest.mark.parametrize("file", ["recipe.yaml", "recipe.json"])
def test_any_text_is_read_as_json_data_or_refused_as_value_error(file: str, text: str) -> None:
    try:
        found = document.read(file, text)
    except ValueError:
        return
    json.dumps(found, sort_keys=True)
