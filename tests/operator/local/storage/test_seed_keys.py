"""The keys of a run folder: random, kept, and readable by their owner alone."""

import json
import stat
from pathlib import Path

import pytest

from rloop.errors import Corrupt
from rloop_operator.local.storage.layout import RunFolder
from rloop_operator.local.storage.seed_keys import seed_keys


@pytest.mark.parametrize("seed", [None, 7])
def test_keys_are_made_once(tmp_path: Path, seed: int | None) -> None:
    layout = RunFolder.at(tmp_path)
    made = seed_keys(layout, seed)
    assert seed_keys(layout, None) == made
    assert seed_keys(layout, 8) == made
    assert stat.S_IMODE(layout.seeds.stat().st_mode) == 0o600
    assert len(made.scorings) == 32
    assert made.scorings.hex() not in repr(made)


def test_a_seed_fixes_the_runs_and_never_the_scorings(tmp_path: Path) -> None:
    def made(folder: str, seed: int | None) -> tuple[bytes, bytes]:
        (tmp_path / folder).mkdir()
        keys = seed_keys(RunFolder.at(tmp_path / folder), seed)
        return keys.runs, keys.scorings

    one, again, other, free = made("a", 1), made("b", 1), made("c", 2), made("d", None)
    assert one[0] == again[0] != other[0]
    assert free[0] == free[1]
    assert len({one[1], again[1], other[1], free[1]}) == 4


@pytest.mark.parametrize(
    "content", ["", "{}", '{"runs": 1, "scorings": "00"}', json.dumps({"runs": "x", "scorings": ""})]
)
def test_a_damaged_file_is_named_with_the_remedy(tmp_path: Path, content: str) -> None:
    layout = RunFolder.at(tmp_path)
    layout.seeds.write_text(content)
    with pytest.raises(Corrupt, match=r"seeds.json.*delete it"):
        seed_keys(layout, None)
