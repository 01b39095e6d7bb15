"""Which checkpoint a run goes on from: the newest whole one of its own, and never another."""

import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rloop_trainer import checkpoints
from rloop_trainer.checkpoints import SEAL, Maker

OURS = Maker(recipe="a", ranks=2, zero=None)
FILES = {"model.safetensors": b"\x00\x01weights" * 9, "rng_state.pth": b"chance", "global_step4/rank_0.pt": b"part"}


def made(parent: Path, step: int, maker: Maker = OURS) -> Path:
    path = unsealed(parent, step)
    checkpoints.seal(path, maker)
    return path


def unsealed(parent: Path, step: int) -> Path:
    path = checkpoints.folder(parent, step)
    for name, content in FILES.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def names(parent: Path) -> set[str]:
    return {path.name for path in parent.iterdir()}


def test_the_newest_by_number_is_chosen(tmp_path: Path) -> None:
    for step in (8, 9, 10):
        made(tmp_path, step)
    found, said = checkpoints.newest(tmp_path, OURS)
    assert (found, said) == (tmp_path / "checkpoint-10", [])
    assert checkpoints.step(tmp_path / "checkpoint-10") == 10
    assert names(tmp_path) == {"checkpoint-8", "checkpoint-9", "checkpoint-10"}


def test_there_is_none_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "start").mkdir()
    (tmp_path / "checkpoint-x").mkdir()
    assert checkpoints.newest(tmp_path, OURS) == (None, [])
    assert checkpoints.newest(tmp_path / "gone", OURS) == (None, [])
    assert names(tmp_path) == {"start", "checkpoint-x"}


def cut_short(path: Path) -> None:
    file = path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])


def flipped(path: Path) -> None:
    file = path / "model.safetensors"
    file.write_bytes(b"\x01" + file.read_bytes()[1:])


def seal_changed(path: Path) -> None:
    file = path / SEAL
    file.write_text(file.read_text().replace('"ranks": 2', '"ranks": 3'))


NOT_SEALED = "its checksum file is missing or incomplete: writing was interrupted"


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda path: (path / SEAL).unlink(), NOT_SEALED),
        (lambda path: (path / SEAL).rename(path / f"{SEAL}.tmp"), NOT_SEALED),
        (lambda path: (path / SEAL).write_text(""), NOT_SEALED),
        (lambda path: (path / SEAL).write_text("[]"), NOT_SEALED),
        (lambda path: (path / SEAL).write_text('{"maker": {}, "files": {}}'), NOT_SEALED),
        (lambda path: (path / SEAL).write_bytes(b"\xff"), NOT_SEALED),
        (seal_changed, NOT_SEALED),
        (cut_short, "model.safetensors does not match its checksum"),
        (flipped, "model.safetensors does not match its checksum"),
        (lambda path: (path / "rng_state.pth").unlink(), "rng_state.pth is missing"),
        (lambda path: shutil.rmtree(path / "global_step4"), "global_step4/rank_0.pt is missing"),
    ],
)
def test_a_damaged_one_is_left_aside_and_removed(
    tmp_path: Path, damage: Callable[[Path], object], sentence: str
) -> None:
    made(tmp_path, 4)
    path = made(tmp_path, 8)
    damage(path)
    found, said = checkpoints.newest(tmp_path, OURS)
    assert found == tmp_path / "checkpoint-4"
    assert said == [f"checkpoint-8 is ignored and removed: {sentence}"]
    assert names(tmp_path) == {"checkpoint-4"}


def test_half_written_ones_leave_nothing_to_go_on_from(tmp_path: Path) -> None:
    unsealed(tmp_path, 4)
    (tmp_path / "checkpoint-8").mkdir()
    found, said = checkpoints.newest(tmp_path, OURS)
    assert found is None
    assert [line.split()[0] for line in said] == ["checkpoint-8", "checkpoint-4"]
    assert names(tmp_path) == set()


@pytest.mark.parametrize(
    ("theirs", "ours", "sentence"),
    [
        (Maker("b", 2, None), Maker("a", 2, None), "it belongs to another recipe or seed"),
        (Maker("a", 4, 3), Maker("a", 2, 3), "it was written by 4 ranks; a DeepSpeed checkpoint cannot be read by 2"),
        (Maker("a", 4, 0), Maker("a", 2, 0), "it was written by 4 ranks; a DeepSpeed checkpoint cannot be read by 2"),
        (Maker("a", 4, None), Maker("a", 2, None), ""),
        (Maker("a", 4, 3), Maker("a", 4, 3), ""),
    ],
)
def test_whose_checkpoint_fits(tmp_path: Path, theirs: Maker, ours: Maker, sentence: str) -> None:
    path = made(tmp_path, 4, theirs)
    found, said = checkpoints.newest(tmp_path, ours)
    assert found == (None if sentence else path)
    assert said == ([f"checkpoint-4 is ignored and removed: {sentence}"] if sentence else [])


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    for step in (9, 10, 11):
        made(tmp_path, step)
    (tmp_path / "start").mkdir()
    checkpoints.prune(tmp_path, 2)
    assert names(tmp_path) == {"checkpoint-10", "checkpoint-11", "start"}
    checkpoints.prune(tmp_path, 5)
    assert names(tmp_path) == {"checkpoint-10", "checkpoint-11", "start"}


def test_a_seal_is_refused_to_files_that_are_not_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As on a disk that loses what it was given between the writing and the reading.
    path = unsealed(tmp_path, 4)
    sync = checkpoints._sync

    def losing(each: Path) -> None:
        sync(each)
        if each.name == f"{SEAL}.tmp":
            flipped(path)

    monkeypatch.setattr(checkpoints, "_sync", losing)
    with pytest.raises(OSError, match=r"checkpoint-4: model\.safetensors does not match its checksum"):
        checkpoints.seal(path, OURS)


@given(data=st.data())
def test_one_byte_changed_or_cut_anywhere_is_found(data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        path = made(Path(folder), 4)
        file = path / data.draw(st.sampled_from([*FILES, SEAL]))
        content = bytearray(file.read_bytes())
        place = data.draw(st.integers(0, len(content) - 1))
        if data.draw(st.booleans()):
            content[place] ^= data.draw(st.integers(1, 255))
        else:
            del content[place:]
        file.write_bytes(content)
        assert checkpoints.newest(Path(folder), OURS)[0] is None


@given(
    whole=st.sets(st.integers(1, 30), max_size=4),
    half=st.sets(st.integers(1, 30), max_size=4),
    foreign=st.sets(st.integers(1, 30), max_size=4),
)
def test_what_is_chosen_is_the_newest_whole_one_of_our_own(whole: set[int], half: set[int], foreign: set[int]) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        for step in half - whole - foreign:
            unsealed(folder, step)
        for step in foreign - whole:
            made(folder, step, Maker("b", 2, None))
        for step in whole:
            made(folder, step)
        found, _ = checkpoints.newest(folder, OURS)
        assert found == (checkpoints.folder(folder, max(whole)) if whole else None)
        # Nothing newer is left over which the run could write its next ones.
        assert all(int(one.removeprefix("checkpoint-")) <= max(whole, default=0) for one in names(folder))
