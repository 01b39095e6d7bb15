"""A whole session against a gateway in memory."""

import json
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rloop.api.iteration import Direction
from rloop.api.session_context import Context, Incumbent, SessionAllowance
from rloop.api.space import Point, Space
from rloop.api.wire import ExperimentView
from rloop_agent.gateway import AgentError, Closed, Refused, Unauthorized, Unreachable
from rloop_agent.policies.frames import untried
from rloop_agent.policies.table import POLICIES
from rloop_agent.session import Outcome, Surroundings, run
from rloop_agent.testing import RECIPE, SESSION, SPACE, FakeGateway, a_context

RANDOM = POLICIES["random-search"]


def go(gateway: FakeGateway, policy: str = "random-search", seed: int = 1, **around: object) -> Outcome:
    return run(gateway, POLICIES[policy], seed, SESSION, Surroundings(**around))  # type: ignore[arg-type]


def points(gateway: FakeGateway, space: Space = SPACE) -> list[Point]:
    return [space.read(json.loads(request.files["recipe.json"])) for request in gateway.requests.values()]


def pivot(**changes: object) -> Context:
    return a_context(demand="Pivot", **changes)


def a_direction(number: int, frame: dict[str, str]) -> Direction:
    return Direction.model_validate(
        {
            "name": f"demo-i0000-d{number}",
            "title": "before",
            "fields": {},
            "frame": frame,
            "pivot": 0,
            "session": "demo-i0000-s1",
            "at": "2026-01-01T00:00:00Z",
        }
    )


def refusing(verb: str, reason: str, times: int = 1000) -> FakeGateway:
    left = [times]

    def refuse(asked: str, _request: object) -> AgentError | None:
        if asked != verb or left[0] == 0:
            return None
        left[0] -= 1
        return Refused(reason, "because")

    return FakeGateway(refuse=refuse)


@pytest.mark.parametrize("policy", POLICIES)
def test_without_a_demand_it_stays_in_the_frame(policy: str) -> None:
    gateway = FakeGateway()
    outcome = go(gateway, policy)
    assert len(outcome.proposed) == 5
    assert [direction.frame for direction in gateway.directions] == [SPACE.default_frame]
    assert [SPACE.frame_of(point) for point in points(gateway)] == [SPACE.default_frame] * 5
    assert len({str(point) for point in points(gateway)}) == 5
    assert SPACE.read(json.loads(RECIPE)) not in points(gateway)
    assert gateway.handoff == outcome.handoff
    assert gateway.verbs[-1] == "finish"


def test_the_current_directions_frame_is_stayed_in_and_no_new_one_is_posted() -> None:
    frame = {"method": "smooth", "loss": "2"}
    context = a_context(directions=[a_direction(1, frame)], current_direction="demo-i0000-d1")
    gateway = FakeGateway(context)
    go(gateway)
    assert gateway.verbs.count("post_direction") == 0
    assert [SPACE.frame_of(point) for point in points(gateway)] == [frame] * 5
    assert {request.direction for request in gateway.requests.values()} == {"demo-i0000-d1"}


@pytest.mark.parametrize("policy", POLICIES)
@given(seed=st.integers())
def test_a_pivot_changes_one_thing_and_starts_from_what_is_believed(policy: str, seed: int) -> None:
    incumbent = {"method": "plain", "rate": 0.5, "model": {"loss": 1, "depth": 7}}
    given_files = {"recipe.json": json.dumps(incumbent)}
    gateway = FakeGateway(pivot(incumbent=Incumbent(name="demo-i0000-e1", value=0.7, files=given_files)))
    go(gateway, policy, seed)
    (direction,) = gateway.directions
    assert sum(direction.frame[name] != SPACE.default_frame[name] for name in direction.frame) == 1
    tried = points(gateway)
    assert [SPACE.frame_of(point) for point in tried] == [direction.frame] * 5
    assert (tried[0]["rate"], tried[0]["depth"]) == (0.5, 7)
    assert tried[0].get("width") in (None, 8)
    assert len({str(point) for point in tried}) == 5


@given(seed=st.integers(), count=st.integers(0, 5))
def test_a_pivot_never_takes_a_tried_frame(seed: int, count: int) -> None:
    frames = [{"method": m, "loss": loss} for m in ("plain", "smooth", "pool") for loss in "12"][1:]
    tried = [a_direction(n, frame) for n, frame in enumerate(frames[:count], start=1)]
    present = tried[-1].name if tried else None
    gateway = FakeGateway(pivot(directions=tried, current_direction=present))
    outcome = go(gateway, seed=seed)
    new = gateway.directions[-1].frame
    if count == len(frames):
        assert new == SPACE.default_frame, "with every frame tried, back to the incumbent's, and never the present one"
        assert outcome.proposed
        return
    assert new not in [direction.frame for direction in tried]
    assert new != SPACE.default_frame
    changes = sum(new[name] != SPACE.default_frame[name] for name in new)
    # From frames[0] on, {plain, 2}, {smooth, 1} and {pool, 1} are one change away.
    assert changes == (1 if count < 4 else 2)


def test_the_last_points_of_the_frame_to_be_left_are_not_lost() -> None:
    """A pivot away although nothing is left there: it is answered, and the next one leads back."""
    space = Space.model_validate(
        {
            "file": "recipe.json",
            "dimensions": [
                {"name": "method", "key": "method", "values": ["a", "b"], "default": "a", "structural": True}
                | {"field": "method"},
                {"name": "size", "key": "size", "values": [0, 1, 2], "default": 0},
            ],
        }
    )
    tried = [{"method": "a", "size": str(n)} for n in range(3)] + [{"method": "b", "size": "0"}]
    views = [
        ExperimentView(
            name=f"demo-i0001-e{n}", title="x", phase="Rejected", runs=1, frame={"method": one["method"]}
        ).model_copy(update={"point": one})
        for n, one in enumerate(tried, start=1)
    ]
    frames = [{"method": "a"}, {"method": "b"}]
    directions = [a_direction(n, frame) for n, frame in enumerate(frames, start=1)]
    for present in (1, 0):
        given = pivot(space=space, directions=directions, current_direction=directions[present].name)
        gateway = FakeGateway(given, {"recipe.json": '{"method": "a", "size": 0}'})
        gateway.views = list(views)
        outcome = go(gateway)
        assert [one.frame for one in gateway.directions[2:]] == [frames[1 - present]]
        assert len(outcome.proposed) == (0 if present else 2)


def test_a_refused_direction_is_followed_by_the_next_candidate() -> None:
    gateway = refusing("post_direction", "NotNew", times=2)
    gateway.given = pivot()
    go(gateway)
    assert gateway.verbs.count("post_direction") == 3
    assert len(gateway.requests) == 5


def test_a_direction_whose_answer_was_lost_is_found_again() -> None:
    gateway = FakeGateway(pivot())
    admit = gateway.post_direction

    def lose(verb: str, request: object) -> AgentError | None:
        if verb == "post_direction":
            gateway.refuse = lambda _verb, _request: None
            admit(request)  # type: ignore[arg-type]
            return Refused("NotNew", "this frame was tried: you have just done so yourself")
        return None

    gateway.refuse = lose
    go(gateway)
    assert len(gateway.directions) == 1
    assert len(gateway.requests) == 5


def test_no_admitted_direction_is_said_in_the_handoff() -> None:
    outcome = go(refusing("post_direction", "NotNew"))
    assert (outcome.proposed, outcome.rounds) == ((), 0)
    assert "No direction was admitted; last rejection: NotNew: because" in outcome.handoff


@pytest.mark.parametrize("policy", POLICIES)
def test_a_duplicate_is_drawn_again_under_the_same_sequence(policy: str) -> None:
    gateway = refusing("post_experiment", "Duplicate", times=3)
    outcome = go(gateway, policy)
    assert sorted(gateway.requests) == [1, 2, 3, 4, 5]
    assert outcome.rounds == 8


def test_a_taken_sequence_is_stepped_over() -> None:
    gateway = refusing("post_experiment", "SequenceTaken", times=2)
    assert len(go(gateway).proposed) == 5
    assert sorted(gateway.requests) == [3, 4, 5, 6, 7]


@pytest.mark.parametrize("reason", ["PivotRequired", "LimitReached"])
def test_some_refusals_end_the_session(reason: str) -> None:
    outcome = go(refusing("post_experiment", reason))
    assert outcome.rounds == 1
    assert reason in outcome.handoff


def test_endless_refusals_end_with_the_rounds() -> None:
    outcome = go(refusing("post_experiment", "Duplicate"))
    assert (outcome.rounds, outcome.proposed) == (15, ())


@pytest.mark.parametrize("verb", ["context", "task", "post_direction", "experiments", "post_experiment", "finish"])
def test_a_closed_session_ends_quietly(verb: str) -> None:
    gateway = FakeGateway(refuse=lambda asked, _request: Closed("enough") if asked == verb else None)
    outcome = go(gateway)
    assert outcome.closed
    assert gateway.handoff is None


@pytest.mark.parametrize("error", [Unauthorized("who?"), Unreachable("where?")])
def test_a_lost_gateway_is_the_callers_to_handle(error: AgentError) -> None:
    gateway = FakeGateway(refuse=lambda asked, _request: error if asked == "post_experiment" else None)
    with pytest.raises(type(error)):
        go(gateway)


def allowance(**changes: int) -> SessionAllowance:
    return a_context().session.model_copy(update=changes)


@pytest.mark.parametrize(
    ("changes", "proposed"),
    [
        ({"max_experiments": 2}, 2),
        ({"max_rounds": 3}, 3),
        ({"max_experiments": 0}, 0),
        ({"max_rounds": 0}, 0),
    ],
)
def test_allowances_are_kept(changes: dict[str, int], proposed: int) -> None:
    outcome = go(FakeGateway(a_context(session=allowance(**changes))))
    assert len(outcome.proposed) == proposed
    assert f"Proposed {proposed or 'nothing'}" in outcome.handoff


def test_it_stops_at_four_fifths_of_its_time() -> None:
    now = [0.0]

    def tick(_round: int) -> None:
        now[0] += 100.0

    outcome = go(FakeGateway(), clock=lambda: now[0], on_round=tick)
    assert outcome.rounds == 3
    assert "time was used up" in outcome.handoff


def test_it_ends_in_order_when_the_process_is_told_to() -> None:
    gateway = FakeGateway()
    outcome = go(gateway, stop=lambda: len(gateway.requests) == 2)
    assert len(outcome.proposed) == 2
    assert gateway.handoff is not None
    assert "asked to stop" in gateway.handoff


@pytest.mark.parametrize("policy", POLICIES)
@given(seed=st.integers(), demand=st.sampled_from([None, "Pivot"]))
def test_a_session_is_reproducible_given_its_context(policy: str, seed: int, demand: str | None) -> None:
    first, second = FakeGateway(a_context(demand=demand)), FakeGateway(a_context(demand=demand))
    assert go(first, policy, seed) == go(second, policy, seed)
    assert first.requests == second.requests
    assert first.directions == second.directions


def test_another_seed_and_another_session_look_elsewhere() -> None:
    gateways = [FakeGateway() for _ in range(3)]
    run(gateways[0], RANDOM, 1, "demo-i0001-s1")
    run(gateways[1], RANDOM, 2, "demo-i0001-s1")
    run(gateways[2], RANDOM, 1, "demo-i0002-s1")
    assert len({str(points(gateway)) for gateway in gateways}) == 3


def test_a_replacement_of_a_dead_session_goes_on_with_its_sequence() -> None:
    gateway = FakeGateway()
    go(gateway, stop=lambda: len(gateway.requests) == 2)
    before = dict(gateway.requests)
    gateway.given = a_context(session=allowance(next_sequence=3))
    assert go(gateway).proposed == ("demo-i0001-e3", "demo-i0001-e4", "demo-i0001-e5")
    assert sorted(gateway.requests) == [1, 2, 3, 4, 5]
    assert {number: gateway.requests[number] for number in before} == before
    assert len(gateway.directions) == 1


@pytest.mark.parametrize(
    ("context", "files", "sentence"),
    [
        (a_context(space=None), {}, "has no space.yaml"),
        (a_context(), {}, "recipe.json: the file is missing or is not text"),
        (a_context(), {"recipe.json": "{"}, "recipe cannot be read"),
        (a_context(), {"recipe.json": '{"model": {"loss": 3}}'}, '"model.loss" is 3'),
    ],
)
def test_what_cannot_be_searched_is_said_and_ends_in_order(
    context: Context, files: dict[str, str], sentence: str
) -> None:
    gateway = FakeGateway(context, files)
    outcome = go(gateway)
    assert outcome.proposed == ()
    assert sentence in outcome.handoff
    assert gateway.handoff == outcome.handoff


def test_an_incumbents_other_files_are_repeated() -> None:
    files = {"train.py": "print(2)\n", "recipe.json": RECIPE}
    gateway = FakeGateway(a_context(incumbent=Incumbent(name="demo-i0000-e1", files=files)))
    go(gateway)
    assert {request.files["train.py"] for request in gateway.requests.values()} == {"print(2)\n"}
    assert {request.parent for request in gateway.requests.values()} == {gateway.context().incumbent.name}


def test_an_incumbent_outside_the_space_is_left_aside_for_the_task() -> None:
    files = {"recipe.json": '{"method": "invented"}', "train.py": "x"}
    gateway = FakeGateway(a_context(incumbent=Incumbent(name="demo-i0000-e1", files=files)))
    go(gateway)
    assert len(gateway.requests) == 5
    assert {request.parent for request in gateway.requests.values()} == {"task"}
    assert all(set(request.files) == {"recipe.json"} for request in gateway.requests.values())


def test_the_handoff_names_the_best_of_the_frame() -> None:
    def view(name: str, value: float | None, frame: dict[str, str]) -> ExperimentView:
        return ExperimentView(name=name, title="", phase="Rejected", value=value, frame=frame)

    results = [
        view("demo-i0000-e1", 0.8, SPACE.default_frame),
        view("demo-i0000-e2", 0.6, SPACE.default_frame),
        view("demo-i0000-e3", None, SPACE.default_frame),
        view("demo-i0000-e4", 0.1, {"method": "pool", "loss": "1"}),
    ]
    outcome = go(FakeGateway(a_context(results=results)))
    assert outcome.handoff == (
        "Stayed in the frame method=plain, loss=1. "
        "Proposed 5: demo-i0001-e1, demo-i0001-e2, demo-i0001-e3, demo-i0001-e4, demo-i0001-e5. "
        "Best of 2 results in this frame: demo-i0000-e2 with 0.6 (the incumbent: 1)."
    )


def test_renaming_and_shuffling_do_not_change_which_frames_can_be_reached() -> None:
    def renamed(text: str) -> str:
        return text[::-1]

    shuffled = [
        one.model_copy(update={"name": renamed(one.name), "values": list(reversed(one.values or []))})
        for one in reversed(SPACE.structural)
    ]
    other = SPACE.model_copy(update={"dimensions": shuffled})

    def reached(space: Space) -> set[frozenset[str]]:
        firsts = (next(untried(space, space.default_frame, [], Random(seed))) for seed in range(100))
        return {frozenset(frame.values()) for frame in firsts}

    assert reached(SPACE) == reached(other)
