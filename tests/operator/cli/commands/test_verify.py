"""`rloop verify` on a real small campaign, and on the same in a cluster."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tests.operator.cli.conftest import write
from tests.support import gains
from tests.support.fake_kubernetes import FakeKubernetes
from typer.testing import CliRunner
from typing_extensions import override

from rloop import names
from rloop.actions import Append
from rloop.api.experiment import ResearchExperiment
from rloop.api.researchloop import ResearchLoop
from rloop_operator.cli.commands.verify import verified
from rloop_operator.cli.main import app
from rloop_operator.cli.sources import cluster_connection
from rloop_operator.cli.sources.cluster_connection import Cluster
from rloop_operator.cli.sources.run_folder import LocalSource
from rloop_operator.cli.sources.snapshot import Snapshot
from rloop_operator.cluster.kube import client
from rloop_operator.cluster.storage import ledger
from rloop_operator.local.storage.store import LocalStore

Rloop = Callable[..., subprocess.CompletedProcess[str]]
Example = Callable[..., Path]
VERIFIED = re.compile(r"verified: (\d+) entr(?:y|ies), (\d+) keeps? recomputed\nhead [0-9a-f]{64}\n")
TRAIN = 'rate=$(sed "s/[^0-9.]//g" recipe.json); echo "$rate$RLOOP_SEED" >"$RLOOP_ARTIFACTS/loss"'
"""The smaller the rate, the smaller the loss; the seed adds a little noise."""


def test_a_campaign_of_real_processes_fits_until_a_row_is_changed(
    rloop: Rloop, example: Example, tmp_path: Path
) -> None:
    budget = {"budget__runs": 40, "budget__experiments": 2, "evaluation__acceptance": "Economy"}
    assert rloop("run", example(TRAIN, **budget)).returncode == 3
    done = rloop("verify")
    found = VERIFIED.fullmatch(done.stdout)
    assert found is not None, done
    assert done.returncode == 0
    assert int(found[1]) > 2
    assert int(found[2]) > 0
    with closing(sqlite3.connect(tmp_path / "runs/demo/loop.db")) as database, database:
        changed = (
            "UPDATE objects SET json = replace(json, '\"keep\":1', '\"keep\":2') WHERE kind = 'ResearchExperiment'"
        )
        assert database.execute(changed).rowcount > 0
    done = rloop("verify", "demo")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.match(r'not verified: entry \d+ \("experiment/demo-i\d+-e\d+"\) and its experiment differ: ', done.stderr)
    assert "verdict.keep is 1 in the entry and 2 in the experiment" in done.stderr


def test_a_campaign_without_entries_fits(rloop: Rloop, tmp_path: Path) -> None:
    layout = write(tmp_path / "runs/demo")
    with closing(sqlite3.connect(layout.database)) as database, database:
        database.execute("DELETE FROM objects WHERE kind = 'ResearchExperiment'")
    done = rloop("verify")
    assert (done.returncode, done.stdout) == (0, "verified: 0 entries, 0 keeps recomputed\n")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> FakeKubernetes:
    """A simulated campaign with keeps, stored on an API server in memory."""
    api, stored = FakeKubernetes(), gains.played("Economy")
    monkeypatch.setattr(ledger, "CHUNK_BYTES", 8000)

    def put(kind: str, one: ResearchLoop | ResearchExperiment) -> None:
        document = one.model_dump(mode="json", by_alias=True, exclude_none=True)
        document["metadata"] |= {"uid": "u", "labels": {names.LABEL_LOOP: "demo"}, "resourceVersion": "1"}
        api.put(client.objects("mine", kind, one.metadata.name), document)

    put("researchloops", stored.loop)
    for one in stored.experiments.values():
        put("researchexperiments", one)
    for entry in stored.ledger.entries:
        again = Append(entry.key, entry.kind, entry.body)  # type: ignore[arg-type]
        asyncio.run(ledger.append(api.direct(), "mine", "demo", again))

    @contextmanager
    def in_cluster(*_: str) -> Iterator[Cluster]:
        with asyncio.Runner() as runner:
            yield Cluster(runner, api.direct(), "mine")

    monkeypatch.setattr(cluster_connection, "in_cluster", in_cluster)
    return api


def test_a_cluster_campaign_fits(cluster: FakeKubernetes) -> None:
    done = CliRunner().invoke(app, ["verify", "demo", "-n", "mine"])
    assert done.exit_code == 0, done.output
    assert done.output == f"verified: 11 entries, 3 keeps recomputed\nhead {gains.played('Economy').ledger.head}\n"


def test_a_deleted_part_and_a_deleted_object_of_a_cluster_are_told(cluster: FakeKubernetes) -> None:
    del cluster.objects[client.objects("mine", "researchexperiments", "demo-i0003-e3")]
    done = CliRunner().invoke(app, ["verify", "demo", "-n", "mine"])
    assert done.exit_code == 0, done.output
    assert "Verified from the ledger only, because their objects were deleted: i0003-e3" in done.output
    del cluster.objects[client.core("mine", "configmaps", "demo-ledger-0000")]
    done = CliRunner().invoke(app, ["verify", "demo", "-n", "mine"])
    assert done.exit_code == 1
    assert "not verified: parts of the ledger were deleted: demo-ledger-0000" in done.stderr


class Growing(LocalSource):
    """A run folder in which an entry is appended at each of the first two looks."""

    appended = 0

    @override
    def look(self) -> Snapshot:
        if self.appended < 2:
            self.appended += 1
            with closing(LocalStore(self.folder.root)) as store:
                asyncio.run(store.append("demo", Append(f"pivot/{self.appended}", "pivot", {})))
        return super().look()


def test_a_ledger_that_grows_meanwhile_is_read_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layout = write(tmp_path / "runs/demo")
    with closing(sqlite3.connect(layout.database)) as database, database:
        database.execute("DELETE FROM objects WHERE kind = 'ResearchExperiment'")
    verified(Growing(layout))
    assert capsys.readouterr().out.startswith("verified: 2 entries, 0 keeps recomputed\nhead ")
