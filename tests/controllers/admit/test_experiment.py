"""What the gateway lets in as an experiment: each refusal once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.builders import direction, experiment, iteration, run, running, session, verdict

from rloop.admit.content import Texts, examine
from rloop.admit.experiment import Admitted, check_session
from rloop.admit.experiment import admit as gate
from rloop.api.experiment import Run
from rloop.api.iteration import Direction, Reported
from rloop.api.space import Space
from rloop.api.wire import ExperimentRequest
from rloop.campaign_state import Situation
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


def told(*directions: Direction) -> dict[str, Any]:
    """The changes of a situation in which these directions are admitted."""
    return {"iterations": {"demo-i0001": iteration(1, session(), reported=Reported(directions=list(directions)))}}


SITUATION = Situation(
    loop=running(boundaries__editable=["*.json", "*.py"], boundaries__maxFiles=2),
    iteration=OPEN,
    session=OPEN.spec.sessions[0],
    **told(direction(frame={"net": "mlp"})),
    experiments={},
)
PIVOT: dict[str, Any] = {"loop": running(status={"pivots": 1})}
"""A pivot is demanded."""
TEXTS = Texts(
    task={"recipe.json": '{"net": "mlp"}\n', "train.py": "print(1)\n", "README": "hello\n"},
    parent={},
    editable=["*.json", "*.py"],
    max_files=2,
    max_lines_per_file=300,
    space=None,
)


def admit(
    request: ExperimentRequest, situation: Situation = SITUATION, texts: Texts = TEXTS, parent: str | None = None
) -> Admitted:
    """As the gateway does it."""
    check_session(request, situation)
    return gate(request, situation, examine(request.files, texts), parent)


def asked(sequence: int = 1, direction_: str | None = None, **files: str) -> ExperimentRequest:
    changed = {name.replace("_", "."): text for name, text in files.items()} or {"train.py": "print(2)\n"}
    return ExperimentRequest(sequence=sequence, title="a try", direction=direction_, files=changed)


def test_what_passes_is_self_contained() -> None:
    texts = replace(TEXTS, parent={"train.py": "print(3)\n"})
    admitted = admit(asked(recipe_json='{"net": "rnn"}\n'), texts=texts, parent="demo-i0001-e1")
    assert admitted.name == "demo-i0001-e1"
    assert sorted(admitted.files) == ["recipe.json", "train.py"]
    assert admitted.spec.parent == "demo-i0001-e1"
    assert [one.path for one in admitted.spec.files] == ["recipe.json", "train.py"]


def known(name: str, request_: ExperimentRequest, **changes: Any) -> dict[str, Any]:
    """The changes of a situation in which the request was admitted before, under this name."""
    digest = admit(request_, SITUATION).spec.digest
    return {"experiments": {name: experiment(name, digest=digest)}, **changes}


@pytest.mark.parametrize(
    ("request_", "changes", "refusal"),
    [
        pytest.param(asked(), PIVOT, "PivotRequired", id="a pivot is demanded"),
        pytest.param(asked(), told(), "DirectionMissing", id="no direction yet"),
        pytest.param(asked(direction_="demo-i0001-d9"), {}, "DirectionUnknown", id="a direction that nobody knows"),
        pytest.param(
            asked(direction_="demo-i0001-d1"),
            told(direction(), direction("demo-i0002-d1", pivot=1, at=1)),
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
def test_refusal(request_: ExperimentRequest, changes: dict[str, Any], refusal: str) -> None:
    with pytest.raises(Refused) as caught:
        admit(request_, *_split(changes))
    assert caught.value.reason == refusal


def _split(changes: dict[str, Any]) -> tuple[Situation, Texts]:
    of_texts = {key: value for key, value in changes.items() if key in ("parent", "space")}
    return replace(SITUATION, **{k: v for k, v in changes.items() if k not in of_texts}), replace(TEXTS, **of_texts)


def test_a_retried_request_is_the_same_experiment_even_when_all_limits_are_reached() -> None:
    changes = known("demo-i0001-e1", asked(), loop=running(budget__experiments=1, boundaries__editable=["*.py"]))
    assert admit(asked(), replace(SITUATION, **changes)).name == "demo-i0001-e1"


@pytest.mark.parametrize(
    ("reason", "own", "refused"),
    [
        pytest.param("PivotDemanded", run("screen", "Withdrawn"), False, id="a pivot withdrew it before it ran"),
        pytest.param("PivotDemanded", run("screen", "Done"), True, id="something of it ran"),
        pytest.param("BudgetExhausted", run("screen", "Withdrawn"), True, id="a larger budget brings it back"),
    ],
)
def test_what_never_ran_may_be_proposed_again_under_another_name(reason: str, own: Run, *, refused: bool) -> None:
    digest = admit(asked(), SITUATION).spec.digest
    left = experiment("demo-i0001-e1", own, digest=digest, phase="Withdrawn", verdict=verdict(reason))
    situation = replace(SITUATION, experiments={"demo-i0001-e1": left})
    if refused:
        with pytest.raises(Refused, match="Duplicate"):
            admit(asked(2), situation)
        return
    assert admit(asked(2), situation).name == "demo-i0001-e2"
    assert admit(asked(1), situation).name == "demo-i0001-e1", "a retried request stays what it was"
    with pytest.raises(Refused, match="SequenceTaken"):
        admit(asked(1, train_py="print(9)\n"), situation)


def test_a_smoke_test_is_no_experiment_and_an_experiment_is_none() -> None:
    smoke = asked().model_copy(update={"smoke": True})
    tested = {"demo-i0001-e1": experiment("demo-i0001-e1", kind="Smoke", digest=admit(asked(), SITUATION).spec.digest)}
    situation = replace(
        SITUATION, experiments=tested, loop=running(budget__experiments=1, boundaries__editable=["*.py"])
    )
    assert admit(smoke, situation).spec.kind == "Smoke", "the same request again"
    proposed = admit(asked(2), situation)
    assert (proposed.name, proposed.spec.kind) == ("demo-i0001-e2", "Candidate"), "what was tested may be proposed"
    with pytest.raises(Refused, match="SequenceTaken"):
        admit(asked(1), situation)
    with pytest.raises(Refused, match="Duplicate"):
        admit(smoke.model_copy(update={"sequence": 2}), situation)


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
            admit(request, replace(SITUATION, experiments=before))
    else:
        assert admit(request, replace(SITUATION, experiments=before)).name == "demo-i0001-e9"


@pytest.mark.parametrize("smoke", [True, False])
def test_a_demanded_pivot_refuses_smoke_tests_too(smoke: bool) -> None:
    with pytest.raises(Refused, match="PivotRequired"):
        admit(asked().model_copy(update={"smoke": smoke}), replace(SITUATION, **PIVOT))


def test_equal_points_are_duplicates_however_the_file_is_written() -> None:
    texts = replace(TEXTS, space=SPACE)
    one = admit(asked(recipe_json='{"net": "mlp", "rate": 0.25}'), texts=texts).spec.digest
    other = admit(asked(recipe_json='{"rate":0.25,\n"net":"mlp"}'), texts=texts).spec.digest
    assert one == other
