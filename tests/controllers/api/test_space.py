"""A task's search space: what it admits, and how a point is read from and written to a file."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from rloop.api.space import Space

NET: dict[str, Any] = {
    "name": "net",
    "key": "model.net",
    "values": ["mlp", "rnn"],
    "default": "mlp",
    "structural": True,
    "field": "method",
}
RATE: dict[str, Any] = {"name": "rate", "key": "rate", "low": 0.001, "high": 1.0, "log": True, "default": 0.1}
CELLS: dict[str, Any] = {
    "name": "cells",
    "key": "model.cells",
    "low": 1,
    "high": 64,
    "integer": True,
    "default": 8,
    "when": {"net": ["rnn"]},
}
SPACE = Space.model_validate({"file": "recipe.json", "dimensions": [NET, RATE, CELLS]})


@pytest.mark.parametrize(
    ("document", "point"),
    [
        pytest.param({}, {"net": "mlp", "rate": 0.1}, id="a missing key means the default"),
        pytest.param(
            {"model": {"net": "rnn"}}, {"net": "rnn", "rate": 0.1, "cells": 8}, id="some exist in some frames only"
        ),
        pytest.param({"model": {"cells": 99}}, {"net": "mlp", "rate": 0.1}, id="what does not exist is not read"),
    ],
)
def test_read(document: dict[str, Any], point: dict[str, Any]) -> None:
    assert SPACE.read(document) == point


@pytest.mark.parametrize(
    ("document", "named"),
    [
        pytest.param({"model": {"net": "cnn"}}, "model.net", id="a value that is not listed"),
        pytest.param({"rate": 2.0}, "rate", id="a number out of range"),
        pytest.param({"rate": "1e-2"}, "rate", id="a number that YAML takes for text"),
        pytest.param({"rate": True}, "rate", id="a truth value is no number"),
        pytest.param({"model": {"net": "rnn", "cells": 1.5}}, "model.cells", id="half a cell"),
        pytest.param({"model": 3}, "model.net", id="no mapping where one is needed"),
    ],
)
def test_refused(document: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        SPACE.read(document)


def test_what_is_written_is_read_again_and_the_rest_stays() -> None:
    point: dict[str, Any] = {"net": "rnn", "rate": 0.5, "cells": 4}
    document = SPACE.write({"epochs": 3, "model": {"bias": True}}, point)
    assert SPACE.read(document) == point
    assert (document["epochs"], document["model"]["bias"]) == (3, True)
    assert "cells" not in SPACE.write(document, {"net": "mlp", "rate": 0.5})["model"]


@pytest.mark.parametrize(
    "dimension",
    [
        pytest.param({**RATE, "values": [1, 2]}, id="values and a range"),
        pytest.param({**RATE, "high": None}, id="half a range"),
        pytest.param({**RATE, "low": 0.0}, id="a logarithm from zero"),
        pytest.param({**RATE, "default": 7.0}, id="a default out of range"),
        pytest.param({**RATE, "structural": True, "field": "data"}, id="a structural range"),
        pytest.param({**NET, "field": None}, id="a structural one without a field"),
        pytest.param({**CELLS, "when": {"depth": ["2"]}}, id="it depends on what does not exist"),
        pytest.param({**CELLS, "when": {"net": ["cnn"]}}, id="it depends on a value that never is"),
        pytest.param({**RATE, "name": "net"}, id="a name twice"),
    ],
)
def test_wrong_spaces(dimension: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Space.model_validate({"file": "recipe.json", "dimensions": [NET, dimension]})


@pytest.mark.parametrize(
    ("dimension", "told"),
    [
        pytest.param({"field": None}, "needs a field: hypothesis, method, data, representation, objective", id="field"),
        pytest.param({"when": {"net": ["rnn"]}}, "cannot have when: remove it", id="when"),
        pytest.param(
            {"values": None, "low": 0.0, "high": 1.0, "default": 0.5}, "needs values instead of a range", id="values"
        ),
        pytest.param(
            {"field": None, "when": {"net": ["rnn"]}},
            "needs a field: hypothesis, method, data, representation, objective; it cannot have when: remove it",
            id="two of them",
        ),
    ],
)
def test_of_a_structural_dimension_only_what_is_wrong_is_named(dimension: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Space.model_validate({"file": "recipe.json", "dimensions": [NET | {"name": "other", "key": "o"} | dimension]})
    (error,) = caught.value.errors()
    assert error["msg"] == f'Value error, dimension "other": a structural one {told}'


def test_frames() -> None:
    assert SPACE.default_frame == {"net": "mlp"}
    assert SPACE.frame_of({"net": "rnn", "rate": 0.1}) == {"net": "rnn"}
