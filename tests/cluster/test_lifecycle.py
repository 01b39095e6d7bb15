"""What the harness must never do to the machine it runs on. No cluster is needed for these."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.cluster.harness import binaries, cluster, identity, packages, paths
from tests.cluster.harness.removal import remove
from tests.cluster.harness.shell import Failure


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state directory and a cache of the test's own."""
    monkeypatch.setenv("RLOOP_CLUSTER_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("RLOOP_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("KUBECONFIG", raising=False)


@pytest.fixture
def sleeper() -> Iterator[identity.Process]:
    with subprocess.Popen(["sleep", "60"]) as process:
        found = identity.look(process.pid)
        assert found
        yield found
        process.kill()


def test_down_does_nothing_twice(capfd: pytest.CaptureFixture[str]) -> None:
    cluster.down()
    cluster.down()
    assert capfd.readouterr().err.count("nothing is up") == 2


def test_down_leaves_a_given_cluster_alone(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "theirs"))
    cluster.down()
    assert "stays as it is" in capfd.readouterr().err


def test_our_own_kubeconfig_in_the_environment_is_no_given_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(paths.kubeconfig()))
    assert paths.given_kubeconfig() is None


def test_down_removes_no_folder_that_up_has_not_made() -> None:
    paths.state().mkdir()
    (paths.state() / "thesis.tex").touch()
    with pytest.raises(Failure, match="no state directory of ours"):
        cluster.down()
    assert (paths.state() / "thesis.tex").exists()


def test_the_state_directory_stays_out_of_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLOOP_CLUSTER_DIR", str(paths.ROOT / "cluster"))
    with pytest.raises(ValueError, match="must not touch the checkout"):
        paths.state()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux")
def test_a_process_is_more_than_its_number(sleeper: identity.Process) -> None:
    assert sleeper in (identity.look(os.getpid()) or sleeper).children()
    for other in (replace(sleeper, start=sleeper.start + 1), replace(sleeper, boot="yesterday")):
        assert other.gone()
        other.kill()
    assert sleeper.exists()


def test_an_identity_survives_being_written_down(tmp_path: Path) -> None:
    process = identity.Process(1, 2, "boot")
    (tmp_path / "whole").write_text(process.dump())
    (tmp_path / "cut").write_text(process.dump()[:3])
    assert identity.load(tmp_path / "whole") == process
    assert identity.load(tmp_path / "cut") is None
    assert identity.load(tmp_path / "none") is None


def test_a_full_disk_is_named_with_its_number(tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"has \d+\.\d GiB free, 1000000 GiB are needed"):
        binaries.require_space(tmp_path, 1_000_000)


def test_without_go_and_without_a_cluster_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "check_host", lambda: None)
    monkeypatch.setenv("PATH", "")
    assert cluster.why_not() == "no cluster: neither KUBECONFIG is set nor is Go installed to build one"


@pytest.mark.parametrize("module", binaries.MODULES)
def test_each_module_is_pinned(module: str) -> None:
    assert binaries.version(module).startswith("v")
    assert binaries.key(module) == binaries.key(module)
    # No module may come from a folder of somebody's machine.
    assert "=> ." not in (paths.TOOLS / module / "go.mod").read_text()
    assert "=> /" not in (paths.TOOLS / module / "go.mod").read_text()


def test_removing_a_folder_follows_no_link(tmp_path: Path) -> None:
    kept, doomed = tmp_path / "kept", tmp_path / "doomed"
    kept.mkdir()
    (kept / "file").touch()
    (doomed / "a" / "b").mkdir(parents=True)
    (doomed / "a" / "b" / "file").touch()
    (doomed / "a" / "folder").symlink_to(kept)
    (doomed / "dangling").symlink_to(tmp_path / "nowhere")
    remove(doomed)
    assert not doomed.exists()
    assert (kept / "file").exists()
