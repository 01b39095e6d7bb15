"""The ledger in ConfigMaps: appended once, closed when full, and a part that somebody deleted is told once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from tests.support.builders import manifest
from tests.support.fake_kubernetes import FakeKubernetes

from rloop import ledger_entry, names
from rloop.actions import Append
from rloop_operator.cluster.kube import client
from rloop_operator.cluster.storage import ledger

PATH = client.core("mine", "configmaps")


class Ledger:
    """A loop's ledger on an API server in memory."""

    def __init__(self) -> None:
        self.api = FakeKubernetes()
        self.api.put(client.objects("mine", "researchloops", "demo"), manifest())

    def append(self, key: str, kind: str = "experiment") -> str:
        return asyncio.run(ledger.append(self.api.direct(), "mine", "demo", Append(key, kind, {})))  # type: ignore[arg-type]

    def delete(self, number: int) -> None:
        del self.api.objects[f"{PATH}/demo-ledger-{number:04d}"]

    def stored(self) -> ledger_entry.Ledger:
        return asyncio.run(ledger.stored(self.api.direct(), "mine", "demo"))

    def maps(self) -> list[client.Object]:
        return [one for key, one in sorted(self.api.objects.items()) if "-ledger-" in key]

    def chunks(self) -> dict[str, list[str]]:
        found = {key.rpartition("/")[2]: one for key, one in self.api.objects.items() if "-ledger-" in key}
        return {name: sorted(one["data"]) for name, one in sorted(found.items())}


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """Four entries in three chunks."""
    monkeypatch.setattr(ledger, "CHUNK_BYTES", 400)
    made = Ledger()
    assert [made.append(key) for key in ("experiment/demo-b01", "experiment/a", "experiment/b", "experiment/c")] == [
        ""
    ] * 4
    assert len(made.chunks()) > 1
    return made


def test_the_entries_are_a_chain_in_the_order_they_were_appended(written: Ledger) -> None:
    stored = written.stored()
    assert ledger_entry.misfit("demo", stored) is None
    assert [one.key for one in stored.entries] == [f"experiment/{key}" for key in ("demo-b01", "a", "b", "c")]
    heads = [one["metadata"]["annotations"][names.ANNOTATION_HEAD] for one in written.maps()]
    digests = [ledger_entry.digest(text) for text in stored.texts]
    assert heads == sorted(heads, key=digests.index)
    assert heads[-1] == stored.head == digests[-1]


def change_text(written: Ledger) -> None:
    data = written.maps()[0]["data"]
    data["experiment.a"] = data["experiment.a"].replace("{}", '{"value":1}')


def change_last(written: Ledger) -> None:
    data = written.maps()[-1]["data"]
    data["experiment.c"] = data["experiment.c"].replace("{}", '{"value":1}')


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (change_text, 'entry 2 ("experiment/a") does not have the hash that entry 3 ("experiment/b") names'),
        (change_last, 'entry 4 ("experiment/c") does not have the hash that is stored as the newest'),
        (lambda one: one.maps()[0]["data"].pop("experiment.a"), 'entry 1 ("experiment/demo-b01") does not have'),
        (lambda one: one.maps()[-1]["metadata"].pop("annotations"), 'entry 4 ("experiment/c") does not have'),
        (lambda one: one.delete(0), "parts of the ledger were deleted: demo-ledger-0000"),
    ],
)
def test_what_somebody_changed_is_named(written: Ledger, change: Callable[[Ledger], object], told: str) -> None:
    change(written)
    assert told in str(ledger_entry.misfit("demo", written.stored()))


def test_a_ledger_begun_again_after_all_was_deleted_says_so(written: Ledger) -> None:
    for name in written.chunks():
        written.delete(int(name[-4:]))
    assert ledger_entry.misfit("demo", written.stored()) is None, "the experiments show what is missing"
    written.append("experiment/d")
    assert "deleted: all before experiment/d" in str(ledger_entry.misfit("demo", written.stored()))


def test_an_entry_is_written_once(written: Ledger) -> None:
    before = written.chunks()
    assert written.append("experiment/a") == ""
    assert written.chunks() == before


def test_a_deleted_part_is_told_once_and_its_number_is_not_used_again(written: Ledger) -> None:
    newest = max(written.chunks())
    written.delete(0)
    assert "demo-ledger-0000" in written.append("experiment/d")
    assert written.append("experiment/e") == ""
    assert written.append("experiment/f") == ""
    assert "demo-ledger-0000" not in written.chunks()
    assert max(written.chunks()) > newest


def test_a_ledger_that_is_deleted_whole_is_told_once(written: Ledger) -> None:
    for name in written.chunks():
        written.delete(int(name[-4:]))
    assert "all before experiment/d" in written.append("experiment/d")
    assert [written.append(f"experiment/{key}") for key in "efgh"] == [""] * 4


@pytest.mark.parametrize("first", [("experiment/demo-b01", "experiment"), ("pivot/1", "pivot")])
def test_a_new_ledger_lacks_nothing(first: tuple[str, str]) -> None:
    assert Ledger().append(*first) == ""
