"""The ledger in ConfigMaps: appended once, closed when full, and a part that somebody deleted is told once."""

from __future__ import annotations

import asyncio
import json
from hashlib import sha256

import pytest
from tests.support.builders import manifest
from tests.support.fake_kubernetes import FakeKubernetes

from rloop import names
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

    def chunks(self) -> dict[str, list[str]]:
        found = {key.rpartition("/")[2]: one for key, one in self.api.objects.items() if "-ledger-" in key}
        return {name: sorted(one["data"]) for name, one in sorted(found.items())}


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """Four entries in three chunks."""
    monkeypatch.setattr(ledger, "CHUNK_BYTES", 300)
    made = Ledger()
    assert [made.append(key) for key in ("experiment/demo-b01", "experiment/a", "experiment/b", "experiment/c")] == [
        ""
    ] * 4
    assert len(made.chunks()) > 1
    return made


def test_every_entry_holds_the_hash_of_the_one_before(written: Ledger) -> None:
    head = ""
    for chunk in sorted(
        (one for key, one in written.api.objects.items() if "-ledger-" in key),
        key=lambda one: str(one["metadata"]["name"]),
    ):
        texts = {json.loads(text)["previous"]: text for text in chunk["data"].values()}
        while head in texts:
            head = sha256(texts.pop(head).encode()).hexdigest()
        assert not texts
        assert chunk["metadata"]["annotations"][names.ANNOTATION_HEAD] == head


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
