"""Every mistake in the table is refused, by the field's name, in plain words, with the remedy."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, get_args

import pytest
import yaml
from pydantic import ValidationError

from rloop.admit.loop import BUILT_POLICIES
from rloop.api.agent import PolicyAgent
from rloop.api.reading.problems import NOT_BUILT, problems
from rloop.api.researchloop import ResearchLoop
from rloop.api.space import Space
from rloop.errors import BadInput, InputProblem
from rloop_operator.user_files.manifest import parse

FOLDER = Path(__file__).parents[2] / "manifests"
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


@pytest.mark.parametrize(
    ("agent", "more"),
    [
        pytest.param({"policy": None}, "", id="alone"),
        pytest.param({"policy": None, "llm": {"provider": "p", "model": "m"}}, "", id="with a model"),
        pytest.param({}, ", and remove policy", id="beside a policy"),
    ],
)
def test_a_command_without_an_image_says_that_any_image_will_do(agent: dict[str, Any], more: str) -> None:
    (problem,) = refused({"spec": {"agent": {"command": ["sh", "./agent.sh"], **agent}}})
    assert problem.message == (f"command needs image: add image (rloop run does not use it; any name works){more}")


@pytest.mark.parametrize(
    ("patch", "told"),
    [
        (
            {"agent": {"policy": {"name": "bayes"}}},
            'must be one of random-search, coordinate-search, tpe, cma-es, not "bayes"',
        ),
        (
            {"agent": {"policy": {"name": "Evolutionary"}}},
            "must be one of random-search, coordinate-search, tpe, cma-es, not",
        ),
        ({"experiment": {"job": None}}, "give exactly one of job, pyTorchJob (found: none)"),
        ({"experiment": {"trainJob": {"runtimeRef": "t"}}}, "one of job, pyTorchJob (found: job and trainJob)"),
        ({"experiment": None}, "Exactly one of `job`, `pyTorchJob`."),
        ({"task": None}, "exactly one of `path`, `configMap`."),
        ({"task": {"path": None}}, "give exactly one of path, configMap (found: none)"),
        ({"task": {"zzz": 1}}, "the fields here are path, configMap"),
        ({"objective": {"mode": "Maximise"}}, 'must be Optimize, not "Maximise"'),
        ({"evaluation": {"comparison": "Double"}}, 'must be Single, not "Double"'),
        ({"stall": {"onAttention": "Stop"}}, 'must be Continue, not "Stop"'),
    ],
)
def test_a_message_offers_only_what_is_built(patch: dict[str, Any], told: str) -> None:
    (problem,) = refused({"spec": patch})
    assert told in problem.message
    offered = problem.message.partition("found:")[0]
    for words in NOT_BUILT.values():
        assert not any(f" {word}" in offered or f"`{word}`" in offered for word in words)


def test_what_no_message_offers_is_in_the_api() -> None:
    for place, words in NOT_BUILT.items():
        found: Any = ResearchLoop
        for name in place.split("."):
            found = {one.alias or key: one.annotation for key, one in found.model_fields.items()}[name]
            found = get_args(found)[0] if isinstance(found, UnionType) else found
        known = get_args(found) or [one.alias or key for key, one in found.model_fields.items()]
        assert words <= set(known), place
    built = get_args(PolicyAgent.model_fields["name"].annotation)
    assert [name for name in built if name not in NOT_BUILT["spec.agent.policy.name"]] == list(BUILT_POLICIES)


def test_an_empty_job_is_explained() -> None:
    broken = json.loads(json.dumps(GOOD))
    broken["spec"]["experiment"]["job"] = None
    with pytest.raises(BadInput, match=r"job is present without a value: write job: \{\}"):
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
    assert told.startswith("dimensions[0].low: must be a number: write 1.0e-6 (YAML reads ")


def test_a_misspelt_required_field_is_one_problem() -> None:
    """The required one was reported as missing too."""
    assert space_problems(low=0.0, high=1.0, defualt=0.5) == [
        "dimensions[0].defualt: unknown field; did you mean default?"
    ]
    broken = json.loads(json.dumps(GOOD))
    broken["spec"]["directon"] = broken["spec"].pop("direction")
    with pytest.raises(BadInput) as caught:
        parse(broken, "loop.yaml")
    assert str(caught.value) == "spec.directon: unknown field; did you mean direction?"


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
