"""Names are deterministic, unique and short enough for a label."""

from __future__ import annotations

from rloop import names

LONGEST = "x" * 40


def test_names_of_a_campaign() -> None:
    iteration = names.iteration("kuhn", 7)
    first, second = names.session(iteration, 1), names.session(iteration, 2)
    assert (iteration, names.baseline("kuhn")) == ("kuhn-i0007", "kuhn-b01")
    assert names.experiment(first, 2) == "kuhn-i0007-e2"
    assert names.experiment(second, 2) == "kuhn-i0007-s2-e2"
    assert names.direction(first, 1) == "kuhn-i0007-d1"
    assert names.finding(second, 1) == "kuhn-i0007-s2-f1"
    assert names.agent(first, 2) == "kuhn-i0007-s1-a2"
    assert names.attempt("kuhn-i0007-e2", 3, 1) == "kuhn-i0007-e2-r3-a1"
    assert names.verification("kuhn-i0007-e2", 3, 1) == "kuhn-i0007-e2-r3-v1"


def test_no_name_is_ever_longer_than_a_label() -> None:
    session = names.session(names.iteration(LONGEST, 9999), 3)
    experiment = names.experiment(session, 99)
    assert len(names.attempt(experiment, 24, 64)) <= 63
    assert len(names.agent(session, 101)) <= 63


def test_seeds_fit_into_31_bits_and_depend_on_what_they_are_for() -> None:
    seeds = {
        names.seed(key, uid, "kuhn-i0001-e1", number)
        for key in (b"k", b"l")
        for uid in ("a", "b")
        for number in range(100)
    }
    assert len(seeds) == 400
    assert all(0 <= one < 2**31 for one in seeds)
    assert names.seed(b"k", "a", "x", 1) == names.seed(b"k", "a", "x", 1)
