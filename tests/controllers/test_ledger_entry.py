"""The ledger's format: canonical texts, a chain of hashes, and the order that the hashes give."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rloop import ledger_entry
from rloop.actions import Append
from rloop.ledger_entry import GENESIS, Entry, Ledger


def chain(count: int = 5) -> list[Entry]:
    made: list[Entry] = []
    for number in range(1, count + 1):
        previous = ledger_entry.digest(made[-1].text) if made else GENESIS
        entry = Append(f"pivot/{number}", "pivot", {"why": "größer", "number": number, "share": 0.1})
        made.append(ledger_entry.following(previous, "demo", entry))
    return made


def ledger(entries: list[Entry], **fields: str) -> Ledger:
    texts = tuple(one.text for one in entries)
    return Ledger(texts, **{"head": ledger_entry.digest(texts[-1]) if texts else GENESIS, **fields})


def test_a_text_is_canonical_and_read_back_exactly() -> None:
    first = chain()[0]
    expected = (
        '{"body":{"number":1,"share":0.1,"why":"größer"},"key":"pivot/1","kind":"pivot","loop":"demo","previous":"'
        f'{GENESIS}"' + "}"
    )
    assert first.text == expected
    assert ledger_entry.read(first.text) == first
    with pytest.raises(ValueError, match="not JSON compliant"):
        _ = replace(first, body={"value": float("nan")}).text


def test_a_chain_fits() -> None:
    assert ledger_entry.misfit("demo", ledger(chain())) is None
    assert ledger_entry.misfit("demo", Ledger()) is None


def changed(text: str) -> str:
    return text.replace('"number":3', '"number":4')


Change = Callable[[Ledger], Ledger]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param(
            lambda one: replace(one, texts=tuple(map(changed, one.texts))),
            'entry 3 ("pivot/3") does not have the hash that entry 4',
            id="a number",
        ),
        pytest.param(
            lambda one: replace(one, texts=one.texts[:2] + one.texts[3:]),
            'entry 2 ("pivot/2") does not have the hash that entry 3 ("pivot/4") names',
            id="one is removed",
        ),
        pytest.param(
            lambda one: replace(one, texts=one.texts[1:]),
            'entry 1 ("pivot/2") is the first entry',
            id="the first is removed",
        ),
        pytest.param(
            lambda one: replace(one, texts=one.texts[:-1]),
            'entry 4 ("pivot/4") does not have the hash that is stored as the newest',
            id="the last is removed",
        ),
        pytest.param(lambda one: replace(one, texts=()), "the ledger is empty, but it", id="all are removed"),
        pytest.param(
            lambda one: replace(one, texts=(one.texts[0], "{", *one.texts[2:])), "entry 2 was changed", id="no JSON"
        ),
        pytest.param(
            lambda one: replace(one, texts=(*one.texts[:-1], one.texts[-1].replace(":", ": "))),
            "entry 5 was changed, it cannot be read: it is not in the canonical form of an entry",
            id="spaces",
        ),
        pytest.param(
            lambda one: replace(one, texts=(json.dumps([1]), *one.texts[1:])), "entry 1 was changed", id="no entry"
        ),
        pytest.param(lambda one: replace(one, head="0"), 'entry 5 ("pivot/5")', id="the head"),
        pytest.param(
            lambda one: replace(one, missing="demo-ledger-0000"), "were deleted: demo-ledger-0000", id="parts"
        ),
        pytest.param(
            lambda one: ledger([replace(one.entries[0], loop="other")]),
            'belongs to another loop, "other"',
            id="another",
        ),
    ],
)
def test_the_first_that_does_not_fit_is_named(change: Change, told: str) -> None:
    found = ledger_entry.misfit("demo", change(ledger(chain())))
    assert found is not None
    assert told in found


@given(st.randoms(use_true_random=False), st.integers(0, 8))
def test_hashes_give_the_order(random: Random, count: int) -> None:
    texts = [one.text for one in chain(count)]
    assert ledger_entry.in_order(random.sample(texts, len(texts))) == tuple(texts)


@pytest.mark.parametrize("number", range(5))
def test_what_the_first_entry_does_not_lead_to_comes_last_and_whole(number: int) -> None:
    texts = [one.text for one in chain()]
    torn = [text for index, text in enumerate(texts) if index != number]
    assert ledger_entry.in_order(reversed(torn)) == tuple(torn)
    doubled = ledger_entry.in_order([*texts, texts[number], "{"])
    assert sorted(doubled) == sorted([*texts, texts[number], "{"])
    assert ledger_entry.misfit("demo", Ledger(doubled, ledger_entry.digest(doubled[-1]))) is not None
