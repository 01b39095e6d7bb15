"""The fence: an attempt that a pod has begun is not begun by another one, and only the first worker clears up."""

from pathlib import Path

import pytest

from rloop.api.helpers import UnpackJob
from rloop_sidecar.problems import Refused
from rloop_sidecar.unpack import Pod, lay_out


def job(folder: Path) -> UnpackJob:
    for name in ("fence", "artifacts"):
        (folder / name).mkdir(exist_ok=True)
    empty = [str(folder / "artifacts")]
    return UnpackJob(target=str(folder / "task"), once=str(folder / "fence" / "a1"), empty=empty)


def test_the_kubelet_may_do_it_twice_and_another_pod_may_not(tmp_path: Path) -> None:
    lay_out(job(tmp_path), Pod("first"))
    lay_out(job(tmp_path), Pod("first"))
    with pytest.raises(Refused, match="the pod first has already begun this attempt") as refused:
        lay_out(job(tmp_path), Pod("second"))
    assert refused.value.reason == "AlreadyRan"


def test_each_worker_has_its_own_fence_and_the_first_one_clears_up(tmp_path: Path) -> None:
    written = tmp_path / "artifacts" / "model"
    lay_out(job(tmp_path), Pod("a", "0"))
    written.touch()
    lay_out(job(tmp_path), Pod("b", "1"))
    assert written.exists()
    lay_out(job(tmp_path), Pod("a", "0"))
    assert not written.exists()


def test_a_refused_pod_touches_nothing(tmp_path: Path) -> None:
    lay_out(job(tmp_path), Pod("a"))
    written = tmp_path / "artifacts" / "model"
    written.touch()
    with pytest.raises(Refused):
        lay_out(job(tmp_path), Pod("b"))
    assert written.exists()
