"""Every mistake in the table is refused, by the field's name, in plain words, with the remedy."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from rloop.api.problems import problems
from rloop.api.researchloop import ResearchLoop
from rloop.api.space import Space
from rloop.errors import BadInput, InputProblem
from rloop_operator.manifest import parse

FOLDER = Path(__file__).parent / "manifests"
GOOD: dict[str, Any] = yaml.safe_load((FOLDER / "good.yaml").read_text())
BAD: list[dict[str, Any]] = yaml.safe_load((FOLDER / "bad.yaml").read_text())
JARGON = re.compile(
    r"pydantic|Input should|Value error|Extra inputs|Field required|validation|NoneType"
    r"|\bdict\b|instance of|\^\[|\bstr\b"
)


def patched(document: Any, patch: Any) -> Any:
    """The JSON merge patch (RFC 7386)."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(document) if isinstance(document, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = patched(merged.get(key), value)
    return merged


def refused(patch: Mapping[str, Any]) -> tuple[InputProblem, ...]:
    with pytest.raises(BadInput) as caught:
        parse(patched(GOOD, patch), "loop.yaml")
    return caught.value.problems


def test_the_good_manifest_is_accepted() -> None:
    assert parse(GOOD, "loop.yaml").metadata.name == "good"


def test_there_are_enough_mistakes_and_each_has_its_sentence() -> None:
    assert len(BAD) >= 40
    assert len({row["id"] for row in BAD}) == len(BAD)
    assert {row["by"] for row in BAD} == {"schema", "cel", "metadata", "local"}


@pytest.mark.parametrize("row", BAD, ids=[row["id"] for row in BAD])
def test_a_mistake_is_named(row: dict[str, Any]) -> None:
    (problem,) = refused(row["patch"])
    assert problem.field == row["field"]
    assert row["words"] in problem.message
    assert not JARGON.search(problem.message), problem.message


def test_every_problem_is_told_at_once() -> None:
    told = {
        problem
        for patch in (
            {"spec": {"objective": {"target": 0.1, "goal": "min"}, "parallelism": 0, "sped": 1}},
            {"metadata": {"name": "A", "lables": {}}, "spec": {"direction": None}},
        )
        for problem in refused(patch)
    }
    assert {problem.field for problem in told} == {
        "spec.objective.target",
        "spec.objective.goal",
        "spec.parallelism",
        "spec.sped",
        "spec.direction",
        "metadata.name",
        "metadata.lables",
    }


def test_a_float_that_is_nan_or_infinite_is_no_target() -> None:
    for number in (float("nan"), float("inf")):
        (problem,) = refused({"spec": {"objective": {"target": number}}})
        assert "finite" in problem.message


def test_an_empty_job_is_explained() -> None:
    broken = json.loads(json.dumps(GOOD))
    broken["spec"]["experiment"]["job"] = None
    with pytest.raises(BadInput, match=r"job is there without a value: write job: \{\}"):
        parse(broken, "loop.yaml")


def test_a_section_whose_lines_are_commented_out_is_absent_as_in_the_api_server() -> None:
    document = json.loads(json.dumps(GOOD))
    document["spec"]["budget"] = None
    assert parse(document, "loop.yaml").spec.budget.runs is None


def test_a_key_that_yaml_reads_as_a_switch_is_explained() -> None:
    (problem,) = refused({"spec": {"experiment": {"nodeSelector": {True: "x"}}}})
    assert problem.field == "spec.experiment.nodeSelector"
    assert "quote it" in problem.message


def space_problems(**dimension: Any) -> list[str]:
    document = {"file": "a.json", "dimensions": [{"name": "rate", "key": "rate", **dimension}]}
    with pytest.raises(ValidationError) as caught:
        Space.model_validate(document)
    return [str(problem) for problem in problems(caught.value, document, Space)]


def test_a_number_that_yaml_takes_for_text_is_explained() -> None:
    (told,) = space_problems(low="1e-6", high=1.0, default=0.5)
    assert told.startswith("dimensions[0].low: must be a number: write 1.0e-6 (YAML takes ")


def test_a_plain_value_of_several_types_is_one_problem() -> None:
    (told,) = space_problems(low=0.0, high=1.0, default=[1])
    assert told == "dimensions[0].default: must be a plain value: text, a number, true or false"


def test_no_problem_is_told_twice_or_in_the_words_of_a_library() -> None:
    nonsense: list[Any] = [None, True, 5, 0.5, "x", [], [[1]], {"a": {}}, {1: 2}, float("nan"), "x" * 20_000]
    for value in nonsense:
        for field in GOOD["spec"]:
            document = {**GOOD, "spec": {**GOOD["spec"], field: value}}
            try:
                ResearchLoop.model_validate(document, by_alias=True, by_name=False)
            except ValidationError as error:
                told = problems(error, document)
                assert told
                assert len(set(told)) == len(told)
                for problem in told:
                    assert problem.field.startswith("spec")
                    assert not JARGON.search(problem.message), problem
                    assert len(problem.message) < 400, problem
