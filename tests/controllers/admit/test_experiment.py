"""What the gateway lets in as an experiment: each refusal once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.builders import direction, experiment, iteration, run, running, session, verdict

from rloop.admit.content import Texts, examine
from rloop.admit.experiment import Admitted, Facts, check_session
from rloop.admit.experiment import admit as gate
from rloop.api.experiment import Run
from rloop.api.space import Space
from rloop.api.wire import ExperimentRequest
from rloop.errors import Refused

LINES = "".join(f"line {n}\n" for n in range(400))
SPACE = Space.model_validate(
    {
        "file": "recipe.json",
        "dimensions": [
            {
                "name": "net",
                "key": "net",
                "values": ["mlp", "rnn"],
                "default": "mlp",
                "structural": True,
                "field": "method",
            },
            {"name": "rate", "key": "rate", "low": 0.0, "high": 1.0, "default": 0.5},
        ],
    }
)
OPEN = iteration(1, session())
FACTS = Facts(
    loop=running(boundaries__editable=["*.json", "*.py"], boundaries__maxFiles=2),
    iteration=OPEN,
    session=OPEN.spec.sessions[0],
    directions=[direction(frame={"net": "mlp"})],
    pivot_demanded=False,
    experiments={},
    incumbent="demo-b01",
    parent_name=None,
)
TEXTS = Texts(
    task={"recipe.json": '{"net": "mlp"}\n', "train.py": "print(1)\n", "README": "hello\n"},
    parent={},
    editable=["*.json", "*.py"],
    max_files=2,
    max_lines_per_file=300,
    space=None,
)


def admit(request: ExperimentRequest, facts: Facts = FACTS, texts: Texts = TEXTS) -> Admitted:
    """As the gateway does it."""
    check_session(request, facts)
    return gate(request, facts, examine(request.files, texts))


def asked(sequence: int = 1, direction_: str | None = None, **files: str) -> ExperimentRequest:
    changed = {name.replace("_", "."): text for name, text in files.items()} or {"train.py": "print(2)\n"}
    return ExperimentRequest(sequence=sequence, title="a try", direction=direction_, files=changed)


def test_what_passes_is_self_contained() -> None:
    facts, texts = replace(FACTS, parent_name="demo-i0001-e1"), replace(TEXTS, parent={"train.py": "print(3)\n"})
    admitted = admit(asked(recipe_json='{"net": "rnn"}\n'), facts, texts)
    assert admitted.name == "demo-i0001-e1"
    assert sorted(admitted.files) == ["recipe.json", "train.py"]
    assert admitted.spec.parent == "demo-i0001-e1"
    assert [one.path for one in admitted.spec.files] == ["recipe.json", "train.py"]


def known(name: str, request_: ExperimentRequest, **facts: Any) -> dict[str, Any]:
    """Facts in which the request was admitted before, under this name."""
    digest = admit(request_, FACTS).spec.digest
    return {"experiments": {name: experiment(name, digest=digest)}, **facts}


@pytest.mark.parametrize(
    ("request_", "facts", "refusal"),
    [
        pytest.param(asked(), {"pivot_demanded": True}, "PivotRequired", id="a pivot is demanded"),
        pytest.param(asked(), {"directions": []}, "DirectionMissing", id="no direction yet"),
        pytest.param(asked(direction_="demo-i0001-d9"), {}, "DirectionUnknown", id="a direction that nobody knows"),
        pytest.param(
            asked(direction_="demo-i0001-d1"),
            {"directions": [direction(), direction("demo-i0002-d1", pivot=1, at=1)]},
            "PivotRequired",
            id="a direction that a pivot left behind",
        ),
        pytest.param(asked(README="mine\n"), {}, "Sealed", id="a sealed file"),
        pytest.param(
            ExperimentRequest(sequence=1, title="x", files={"../score.py": "1"}), {}, "PathInvalid", id="a way out"
        ),
        pytest.param(asked(train_py="print(1)\n"), {}, "NothingChanged", id="nothing changed"),
        pytest.param(
            asked(train_py="print(2)\n"), {"parent": {"train.py": "print(2)\n"}}, "NothingChanged", id="as its parent"
        ),
        pytest.param(asked(a_py="1", b_py="1", c_py="1"), {}, "TooManyFiles", id="too many files"),
        pytest.param(asked(train_py=LINES), {}, "TooManyLines", id="too many lines"),
        pytest.param(asked(train_py="x" * 520_000, a_py="y" * 10_000), {}, "TooLarge", id="too many bytes"),
        pytest.param(asked(recipe_json='{"net": "cnn"}'), {"space": SPACE}, "OutsideSpace", id="outside the space"),
        pytest.param(asked(recipe_json="{"), {"space": SPACE}, "OutsideSpace", id="no JSON"),
        pytest.param(asked(recipe_json='{"a": 1}'), {"space": SPACE}, "OutsideSpace", id="the task's key is gone"),
        pytest.param(asked(recipe_json='{"net": "rnn"}'), {"space": SPACE}, "OutsideFrame", id="outside its frame"),
        pytest.param(asked(2), known("demo-i0001-e1", asked()), "Duplicate", id="the same again"),
        pytest.param(
            asked(2, train_py="# why\nprint(2)\n\n"),
            known("demo-i0001-e1", asked()),
            "Duplicate",
            id="the same with another comment",
        ),
        pytest.param(
            asked(1, train_py="print(9)\n"),
            known("demo-i0001-e1", asked()),
            "SequenceTaken",
            id="other files, same number",
        ),
        pytest.param(
            asked(9),
            {"experiments": {f"demo-i0001-e{n}": experiment(f"demo-i0001-e{n}") for n in range(1, 6)}},
            "LimitReached",
            id="the session's experiments are used up",
        ),
        pytest.param(
            asked(),
            {"loop": running(budget__experiments=1), "experiments": {"demo-i0009-e1": experiment("demo-i0009-e1")}},
            "LimitReached",
            id="the campaign's experiments are used up",
        ),
    ],
)
def test_refusal(request_: ExperimentRequest, facts: dict[str, Any], refusal: str) -> None:
    with pytest.raises(Refused) as caught:
        admit(request_, *_split(facts))
    assert caught.value.reason == refusal


def _split(changes: dict[str, Any]) -> tuple[Facts, Texts]:
    of_texts = {key: value for key, value in changes.items() if key in ("parent", "space")}
    return replace(FACTS, **{k: v for k, v in changes.items() if k not in of_texts}), replace(TEXTS, **of_texts)


def test_a_retried_request_is_the_same_experiment_even_when_all_limits_are_reached() -> None:
    facts = known("demo-i0001-e1", asked(), loop=running(budget__experiments=1, boundaries__editable=["*.py"]))
    assert admit(asked(), replace(FACTS, **facts)).name == "demo-i0001-e1"


@pytest.mark.parametrize(
    ("reason", "own", "refused"),
    [
        pytest.param("PivotDemanded", run("screen", "Withdrawn"), False, id="a pivot withdrew it before it ran"),
        pytest.param("PivotDemanded", run("screen", "Done"), True, id="something of it ran"),
        pytest.param("BudgetExhausted", run("screen", "Withdrawn"), True, id="a larger budget brings it back"),
    ],
)
def test_what_never_ran_may_be_proposed_again_under_another_name(reason: str, own: Run, *, refused: bool) -> None:
    digest = admit(asked(), FACTS).spec.digest
    left = experiment("demo-i0001-e1", own, digest=digest, phase="Withdrawn", verdict=verdict(reason))
    facts = replace(FACTS, experiments={"demo-i0001-e1": left})
    if refused:
        with pytest.raises(Refused, match="Duplicate"):
            admit(asked(2), facts)
        return
    assert admit(asked(2), facts).name == "demo-i0001-e2"
    assert admit(asked(1), facts).name == "demo-i0001-e1", "a retried request stays what it was"
    with pytest.raises(Refused, match="SequenceTaken"):
        admit(asked(1, train_py="print(9)\n"), facts)


def test_a_smoke_test_is_no_experiment_and_an_experiment_is_none() -> None:
    smoke = asked().model_copy(update={"smoke": True})
    tested = {"demo-i0001-e1": experiment("demo-i0001-e1", kind="Smoke", digest=admit(asked(), FACTS).spec.digest)}
    facts = replace(FACTS, experiments=tested, loop=running(budget__experiments=1, boundaries__editable=["*.py"]))
    assert admit(smoke, facts).spec.kind == "Smoke", "the same request again"
    proposed = admit(asked(2), facts)
    assert (proposed.name, proposed.spec.kind) == ("demo-i0001-e2", "Candidate"), "what was tested may be proposed"
    with pytest.raises(Refused, match="SequenceTaken"):
        admit(asked(1), facts)
    with pytest.raises(Refused, match="Duplicate"):
        admit(smoke.model_copy(update={"sequence": 2}), facts)


@pytest.mark.parametrize(
    ("smoke", "known_kind", "refused"),
    [
        pytest.param(True, "Smoke", True, id="its smoke tests are used up"),
        pytest.param(True, "Candidate", False, id="smoke tests have a number of their own"),
        pytest.param(False, "Smoke", False, id="and take no experiment away"),
    ],
)
def test_smoke_tests_have_a_limit_of_their_own(smoke: bool, known_kind: str, refused: bool) -> None:
    before = {f"demo-i0001-e{n}": experiment(f"demo-i0001-e{n}", kind=known_kind) for n in range(1, 6)}
    request = asked(9).model_copy(update={"smoke": smoke})
    if refused:
        with pytest.raises(Refused, match="LimitReached"):
            admit(request, replace(FACTS, experiments=before))
    else:
        assert admit(request, replace(FACTS, experiments=before)).name == "demo-i0001-e9"


@pytest.mark.parametrize("smoke", [True, False])
def test_a_demanded_pivot_refuses_smoke_tests_too(smoke: bool) -> None:
    with pytest.raises(Refused, match="PivotRequired"):
        admit(asked().model_copy(update={"smoke": smoke}), replace(FACTS, pivot_demanded=True))


def test_equal_points_are_duplicates_however_the_file_is_written() -> None:
    texts = replace(TEXTS, space=SPACE)
    one = admit(asked(recipe_json='{"net": "mlp", "rate": 0.25}'), texts=texts).spec.digest
    other = admit(asked(recipe_json='{"rate":0.25,\n"net":"mlp"}'), texts=texts).spec.digest
    assert one == other
