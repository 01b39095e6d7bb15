"""The init container lays out what was sealed, nothing else, and says in one sentence why not."""

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from rloop.api.digest import manifest_digest
from rloop_sidecar import archive, unpack

Members = list[tuple[str, bytes, int]]


def digest(files: dict[str, bytes]) -> str:
    return manifest_digest({path.encode(): sha256(content).hexdigest() for path, content in files.items()})


def packed(path: Path, members: Members) -> Path:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content, mode in members:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), mode
            tar.addfile(info, io.BytesIO(content))
    path.write_bytes(gzip.compress(buffer.getvalue()))
    return path


class Pod:
    """The folders and the environment of one init container."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.target = root / "task"
        self.log = root / "termination-log"
        self.log.touch()

    def run(self, **job: object) -> int:
        document = {"target": str(self.target)} | job
        return unpack.main({"RLOOP_UNPACK": json.dumps(document), "RLOOP_TERMINATION_LOG": str(self.log)})

    def archive(self, *members: tuple[str, bytes, int], name: str = "files.tar.gz") -> dict[str, str | None]:
        return {"path": str(packed(self.root / name, list(members))), "sha256": None}

    @property
    def message(self) -> str:
        return self.log.read_text()


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    return Pod(tmp_path)


def test_archives_lie_one_over_the_other(pod: Pod) -> None:
    task = pod.archive(("run.sh", b"old", 0o755), ("lib/a.py", b"a", 0o644), name="task.tar.gz")
    changed = pod.archive(("run.sh", b"new", 0o644), ("lib/b.py", b"b", 0o600), name="changed.tar.gz")
    task["sha256"] = digest({"run.sh": b"old", "lib/a.py": b"a"})
    changed["sha256"] = digest({"run.sh": b"new", "lib/b.py": b"b"})
    assert pod.run(archives=[task, changed], make=[str(pod.root / "made/deep")], copy=None) == 0
    assert (pod.target / "run.sh").read_bytes() == b"new"
    assert os.access(pod.target / "run.sh", os.X_OK), "a changed file keeps the executable bit of the one it replaces"
    assert not (pod.target / "lib/b.py").stat().st_mode & 0o111
    assert (pod.target / "lib/a.py").exists()
    assert (pod.root / "made/deep").is_dir()
    assert pod.message == "{}"


def test_doing_it_twice_gives_the_same(pod: Pod) -> None:
    (pod.root / "left").mkdir()
    (pod.root / "left/result").write_bytes(b"r")
    job = {
        "archives": [pod.archive(("a/b", b"b", 0o755))],
        "copy": {"from": str(pod.root / "left"), "to": str(pod.root / "copy"), "maxBytes": 10},
    }
    assert (pod.run(**job), pod.run(**job)) == (0, 0)
    assert json.loads(pod.message) == {"copied": digest({"result": b"r"})}


def test_other_files_than_the_sealed_ones_are_refused_in_one_sentence(
    pod: Pod, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = pod.archive(("a", b"other", 0o644))
    changed["sha256"] = digest({"a": b"sealed"})
    assert pod.run(archives=[changed]) == 3
    assert pod.message.startswith("DigestMismatch: the files of ")
    assert capsys.readouterr().err == pod.message + "\n"


@pytest.mark.parametrize("name", ["/etc/passwd", "../outside", "a/../../outside", "."])
def test_no_file_leaves_the_folder(pod: Pod, name: str) -> None:
    assert pod.run(archives=[pod.archive((name, b"x", 0o644))]) == 3
    assert "points outside its folder" in pod.message
    assert list(pod.target.iterdir()) == []


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_nothing_but_regular_files_is_taken(pod: Pod, kind: bytes) -> None:
    with tarfile.open(pod.root / "files.tar.gz", "w:gz") as tar:
        info = tarfile.TarInfo("planted")
        info.type, info.linkname = kind, "/etc/passwd"
        tar.addfile(info)
    assert pod.run(archives=[{"path": str(pod.root / "files.tar.gz"), "sha256": None}]) == 3
    assert pod.message.startswith("ArchiveUnsafe: ")
    assert list(pod.target.iterdir()) == []


def test_no_file_is_written_through_a_link(pod: Pod) -> None:
    outside = pod.root / "outside"
    outside.mkdir()
    pod.target.mkdir()
    (pod.target / "sub").symlink_to(outside)
    (pod.target / "leaf").symlink_to(outside / "leaf")
    assert pod.run(archives=[pod.archive(("leaf", b"x", 0o644))]) == 0
    assert pod.run(archives=[pod.archive(("sub/a", b"x", 0o644))]) == 3
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["a", "a"], "twice"),
        (["a", "./a"], "twice under two names"),
        (["a", "a/b"], "a file in a file"),
        (["a/b", "a"], "a file for a folder"),
    ],
)
def test_an_archive_that_contradicts_itself_is_refused(pod: Pod, names: list[str], why: str) -> None:
    assert pod.run(archives=[pod.archive(*((name, b"x", 0o644) for name in names))]) == 3, why
    assert pod.message.startswith("ArchiveUnsafe: ")


def test_a_small_archive_does_not_unpack_into_a_large_one(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_BYTES", 1000)
    assert pod.run(archives=[pod.archive(("a", bytes(600), 0o644), ("b", bytes(600), 0o644))]) == 3
    monkeypatch.setattr(archive, "MAX_FILES", 0)
    assert pod.run(archives=[pod.archive(("a", bytes(100_000), 0o644))]) == 3
    monkeypatch.setattr(archive, "HEADERS_BYTES", 0)
    assert pod.run(archives=[pod.archive(("a", b"", 0o644))]) == 3
    assert pod.message.startswith("ArchiveTooLarge: ")


@pytest.mark.parametrize("damage", [lambda whole: whole[:-20], lambda _: b"no archive", lambda _: b""])
def test_a_damaged_archive_is_said_to_be_one(pod: Pod, damage: Callable[[bytes], bytes]) -> None:
    file = packed(pod.root / "files.tar.gz", [("a", os.urandom(20_000), 0o644)])
    file.write_bytes(damage(file.read_bytes()))
    assert pod.run(archives=[{"path": str(file), "sha256": None}]) == 3
    assert pod.message.startswith("ArchiveDamaged: ")


def test_a_copy_is_regular_files_only(pod: Pod) -> None:
    left = pod.root / "left"
    (left / "deep").mkdir(parents=True)
    (left / "deep/model").write_bytes(b"m")
    (left / "run.sh").write_bytes(b"s")
    (left / "run.sh").chmod(0o700)
    (left / "link").symlink_to("/etc/passwd")
    (left / "folder-link").symlink_to("/etc")
    os.mkfifo(left / "pipe")
    copy = {"from": str(left), "to": str(pod.root / "copy"), "maxBytes": 2}
    assert pod.run(copy=copy) == 0
    found = sorted(path.relative_to(pod.root / "copy").as_posix() for path in (pod.root / "copy").rglob("*"))
    assert found == ["deep", "deep/model", "run.sh"]
    modes = {path.name: path.stat().st_mode & 0o777 for path in (pod.root / "copy").rglob("*") if path.is_file()}
    assert modes == {"model": 0o444, "run.sh": 0o555}
    sealed = digest({"deep/model": b"m", "run.sh": b"s"})
    assert json.loads(pod.message) == {"copied": sealed}
    assert pod.run(copy=copy | {"sha256": sealed}) == 0
    assert pod.run(copy=copy | {"sha256": digest({})}) == 3
    assert pod.message.startswith("DigestMismatch: ")


def test_a_copy_beyond_its_limit_is_the_runs_own_fault(pod: Pod) -> None:
    (pod.root / "left").mkdir()
    (pod.root / "left/model").write_bytes(b"123")
    assert pod.run(copy={"from": str(pod.root / "left"), "to": str(pod.root / "copy"), "maxBytes": 2}) == 3
    told = "ArtifactTooLarge: the artifacts have 3 bytes, and spec.experiment.maxArtifactBytes is 2: "
    assert pod.message.startswith(told)
    assert pod.run(copy={"from": str(pod.root / "none"), "to": str(pod.root / "copy"), "maxBytes": 2}) == 3
    assert pod.message.startswith("ArtifactMissing: ")


def test_a_tree_without_end_is_not_followed(pod: Pod) -> None:
    deep = pod.root / "left"
    for _ in range(80):
        deep /= "d"
    deep.mkdir(parents=True)
    assert pod.run(copy={"from": str(pod.root / "left"), "to": str(pod.root / "copy"), "maxBytes": 2}) == 3
    assert pod.message.startswith("ArtifactTooLarge: ")


def test_what_an_earlier_attempt_left_is_removed_and_nothing_behind_its_links(pod: Pod) -> None:
    left, outside = pod.root / "left", pod.root / "outside"
    (left / "locked/deep").mkdir(parents=True)
    (left / "locked/deep/file").touch()
    outside.mkdir()
    (outside / "kept").touch()
    (left / "link").symlink_to(outside)
    (left / "locked/deep").chmod(0o500)
    (left / "locked").chmod(0)
    assert pod.run(empty=[str(left), str(pod.root / "none")]) == 0
    assert list(left.iterdir()) == []
    assert (outside / "kept").exists()


@pytest.mark.parametrize(
    ("text", "named"),
    [("", "RLOOP_UNPACK is not set"), ("{", "RLOOP_UNPACK"), ('{"target": "/task", "sha": 1}', "sha")],
)
def test_a_wrong_environment_is_named(pod: Pod, text: str, named: str) -> None:
    assert unpack.main({"RLOOP_UNPACK": text, "RLOOP_TERMINATION_LOG": str(pod.log)}) == 2
    assert named in pod.message


def test_a_missing_mount_is_the_machines_fault(pod: Pod) -> None:
    assert pod.run(archives=[{"path": str(pod.root / "none.tar.gz"), "sha256": None}]) == 1
    assert pod.message.startswith("InputsUnavailable: ")
