"""Files and trees: what a digest covers, and what a copy leaves behind."""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path

import pytest

from rloop.errors import BadInput
from rloop_operator.ports import File
from rloop_operator.task_files import (
    TreeProblem,
    copy_tree,
    digest_tree,
    files_digest,
    overlay,
    read_folder,
    write_files,
)

FILES = {"a.txt": File(b"1"), "sub/b ü.sh": File(b"2", executable=True), "sub-c": File(b"")}


def test_files_on_disk_and_in_memory_have_one_digest_which_sha256sum_can_check(tmp_path: Path) -> None:
    write_files(tmp_path / "task", FILES)
    assert read_folder(tmp_path / "task", "task") == FILES
    lines = [f"{hashlib.sha256(FILES[name].content).hexdigest()}  {name}\n" for name in sorted(FILES)]
    expected = hashlib.sha256("".join(lines).encode()).hexdigest()
    assert files_digest(FILES) == expected == digest_tree(str(tmp_path / "task"), 100)
    assert copy_tree(str(tmp_path / "task"), str(tmp_path / "copy"), 100) == expected
    assert os.access(tmp_path / "copy" / "sub" / "b ü.sh", os.X_OK)


def test_a_changed_file_keeps_the_executable_bit_of_the_one_it_replaces() -> None:
    merged = overlay(FILES, {"sub/b ü.sh": File(b"new"), "more": File(b"3")})
    assert merged["sub/b ü.sh"] == File(b"new", executable=True)
    assert merged["a.txt"] == File(b"1")
    assert set(merged) == {*FILES, "more"}


def test_a_copy_holds_regular_files_only_and_follows_no_link(tmp_path: Path) -> None:
    source = tmp_path / "artifacts"
    (source / "sub").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    (source / "sub" / "model").write_text("model")
    (source / "link").symlink_to(tmp_path / "secret")
    (source / "folder").symlink_to(tmp_path)
    os.mkfifo(source / "pipe")
    with socket.socket(socket.AF_UNIX) as made:
        here = Path.cwd()
        os.chdir(source)  # a socket's path must be short
        try:
            made.bind("socket")
        finally:
            os.chdir(here)
    digest = copy_tree(str(source), str(tmp_path / "copy"), 1000)
    found = [path.relative_to(tmp_path / "copy").as_posix() for path in (tmp_path / "copy").rglob("*")]
    assert sorted(found) == ["sub", "sub/model"]
    assert digest == files_digest({"sub/model": File(b"model")})
    with pytest.raises(TreeProblem) as caught:
        copy_tree(str(source / "folder"), str(tmp_path / "other"), 1000)
    assert caught.value.reason == "ArtifactMissing"


def test_a_tree_beyond_its_limit_or_gone_is_told(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(11))
    (tmp_path / "more").write_bytes(bytes(5))
    with pytest.raises(TreeProblem, match=r"have 16 bytes, and spec\.experiment\.maxArtifactBytes is 10:") as caught:
        digest_tree(str(tmp_path), 10)
    assert caught.value.reason == "ArtifactTooLarge"
    with pytest.raises(TreeProblem) as caught:
        digest_tree(str(tmp_path / "none"), 10)
    assert caught.value.reason == "ArtifactMissing"


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x"])
def test_no_file_is_written_outside_its_folder(tmp_path: Path, path: str) -> None:
    with pytest.raises(BadInput, match="points outside its folder"):
        write_files(tmp_path / "task", {path: File(b"")})


def test_caches_are_no_part_of_a_task_and_a_large_one_is_refused(tmp_path: Path) -> None:
    for name in (".git/config", "__pycache__/x.pyc", "train.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("12345")
    assert set(read_folder(tmp_path, "task")) == {"train.py"}
    with pytest.raises(BadInput, match="larger than"):
        read_folder(tmp_path, "task", max_bytes=4)
