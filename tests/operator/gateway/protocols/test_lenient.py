"""What a model writes is accepted when it can mean one thing only, and is then exactly the strict body."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from rloop.api.helpers import ProgressRequest
from rloop.api.wire import (
    DirectionRequest,
    ExperimentRequest,
    FindingRequest,
    FindingVerdict,
    FinishRequest,
    HeartbeatRequest,
)
from rloop.errors import Refused
from rloop_operator.gateway.protocols.lenient import read

FILES = {"recipe.json": "{}"}
GOOD: dict[str, Any] = {"sequence": 1, "title": "t", "files": FILES}


@pytest.mark.parametrize(
    ("model", "written", "meant"),
    [
        (ExperimentRequest, {**GOOD, "sequence": "1"}, GOOD),
        (ExperimentRequest, {**GOOD, "sequence": " 1.0 "}, GOOD),
        (ExperimentRequest, {**GOOD, "sequence": 1.0}, GOOD),
        (HeartbeatRequest, {"round": "326.0"}, {"round": 326}),
        (HeartbeatRequest, {"round": 326.0}, {"round": 326}),
        (ExperimentRequest, {**GOOD, "files": json.dumps(FILES)}, GOOD),
        (ExperimentRequest, {**GOOD, "files": {"./recipe.json": "{}"}}, GOOD),
        (ExperimentRequest, {**GOOD, "files": '{"././recipe.json": "{}"}'}, GOOD),
        (ExperimentRequest, {**GOOD, "smoke": "True"}, {**GOOD, "smoke": True}),
        (ExperimentRequest, {**GOOD, "smoke": "false"}, {**GOOD, "smoke": False}),
        (ExperimentRequest, {**GOOD, "direction": None}, GOOD),
        (FinishRequest, {"drafts": {"./a.md": "x"}}, {"drafts": {"a.md": "x"}}),
        (FindingRequest, {"statement": "s", "evidence": '["a", "b"]'}, {"statement": "s", "evidence": ["a", "b"]}),
        (FindingVerdict, {"supported": "true", "reason": "r"}, {"supported": True, "reason": "r"}),
        (DirectionRequest, {"title": "t", "frame": '{"a": "b"}'}, {"title": "t", "frame": {"a": "b"}}),
        (
            ProgressRequest,
            {"run": "1", "attempt": 1, "claims": {"loss": "0.5"}},
            {"run": 1, "attempt": 1, "claims": {"loss": 0.5}},
        ),
    ],
)
def test_accepted(model: type[BaseModel], written: dict[str, Any], meant: dict[str, Any]) -> None:
    strict = model.model_validate_json(json.dumps(meant))
    assert read(model, json.dumps(written).encode()) == strict


@pytest.mark.parametrize(
    ("model", "written", "words"),
    [
        (ExperimentRequest, {**GOOD, "sequence": "1.5"}, "sequence"),
        (ExperimentRequest, {**GOOD, "sequence": 1.5}, "sequence"),
        (ExperimentRequest, {**GOOD, "sequence": "one"}, "sequence"),
        (ExperimentRequest, {**GOOD, "sequence": True}, "sequence"),
        (ExperimentRequest, {**GOOD, "sequence": "1e2"}, "sequence"),
        (HeartbeatRequest, {"round": 1e300}, "round"),
        (ExperimentRequest, {**GOOD, "smoke": "yes"}, "smoke"),
        (ExperimentRequest, {**GOOD, "smoke": 1}, "smoke"),
        (ExperimentRequest, {**GOOD, "title": 7}, "title"),
        (ExperimentRequest, {**GOOD, "files": "recipe.json"}, "files"),
        (ExperimentRequest, {**GOOD, "files": "[]"}, "files"),
        (ExperimentRequest, {**GOOD, "files": '{"a": "1", "a": "2"}'}, "twice"),
        (ExperimentRequest, {**GOOD, "files": {"a": "1", "./a": "2"}}, "twice"),
        (ExperimentRequest, {**GOOD, "files": {"a": {"b": "c"}}}, "files.a"),
        (FindingRequest, {"statement": "s", "evidence": "a"}, "evidence"),
        (DirectionRequest, {"title": "t", "frame": {"a": 3}}, "frame.a"),
        (DirectionRequest, {"title": "t", "colour": "red"}, "colour"),
    ],
)
def test_refused(model: type[BaseModel], written: dict[str, Any], words: str) -> None:
    with pytest.raises((Refused, ValidationError)) as caught:
        read(model, json.dumps(written).encode())
    place = ""
    if isinstance(caught.value, ValidationError):
        place = ".".join(map(str, caught.value.errors()[0]["loc"]))
    assert words in f"{place} {caught.value}"


TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS | st.sampled_from(["1", "2.0", "true", "{}", '["a"]', '{"./a": "b"}']),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS | st.just("./a"), inner, max_size=3),
    max_leaves=6,
)
EXPERIMENTS = st.fixed_dictionaries(
    {"sequence": JSON | st.integers(1, 9), "title": TEXTS | JSON, "files": st.dictionaries(TEXTS, TEXTS) | JSON},
    optional={"smoke": JSON, "direction": JSON, "parent": JSON},
)


@given(EXPERIMENTS)
def test_what_is_accepted_is_a_fixed_point_and_a_strict_body_means_itself(body: dict[str, Any]) -> None:
    content = json.dumps(body).encode()
    try:
        strict = ExperimentRequest.model_validate_json(content)
    except ValidationError:
        strict = None
    try:
        accepted = read(ExperimentRequest, content)
    except (Refused, ValidationError):
        assert strict is None or any(path.startswith("./") for path in strict.files)
        return
    assert ExperimentRequest.model_validate_json(accepted.model_dump_json(by_alias=True)) == accepted
    assert read(ExperimentRequest, accepted.model_dump_json(by_alias=True).encode()) == accepted
    if strict is not None and not any(path.startswith("./") for path in strict.files):
        assert accepted == strict
