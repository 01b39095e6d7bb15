"""What a run says of itself is read within bounds, and garbage is ignored."""

import json
import os
from pathlib import Path

import pytest

from rloop.api.helpers import ProgressRequest
from rloop_sidecar.reading import claims, newest_step


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("content", "step", "why"),
    [
        (b'{"step": 1}\n{"step": 2, "loss": 0.5}\n', 2, "the newest line"),
        (b'{"step": 1}\n{"step": 2', 1, "a line that is being written does not count yet"),
        (b'{"step": 1}\n{"loss": 3}\nrubbish\n\n', 1, "nor does a line without a step"),
        (b'{"step": -1}\n{"step": true}\n{"step": 1.5}\n{"step": "7"}\n[5]\n', None, "a step is a whole number"),
        (b'{"step": ' + b"9" * 30 + b"}\n", None, "that fits into 64 bits"),
        (b"[" * 7000 + b"\n", None, "nesting without end"),
        (b"\xff\xfe\x00\n", None, "no text"),
        (b"x" * 100_000 + b'\n{"step": 3}\n', 3, "only the end is read"),
        (b'{"step": 3}\n' + b"x" * 100_000, None, "even if that hides a step"),
        (b"", None, "nothing yet"),
    ],
)
def test_the_step_is_that_of_the_last_whole_line(tmp_path: Path, content: bytes, step: int | None, why: str) -> None:
    assert newest_step(written(tmp_path / "progress.jsonl", content)) == step, why


@pytest.mark.parametrize(
    ("content", "taken", "why"),
    [
        (b'{"loss": 1, "acc.top-1": 0.5}', {"loss": 1.0, "acc.top-1": 0.5}, "numbers"),
        (b'{"a": NaN, "b": Infinity, "c": "1", "d": true, "e": null, "f": 2}', {"f": 2.0}, "finite ones only"),
        (b'{"": 1, "a b": 1, "' + b"x" * 64 + b'": 1, "1a": 1, "ok": 1}', {"ok": 1.0}, "under a metric's name"),
        (b'{"big": ' + b"9" * 400 + b"}", {}, "that a float can hold"),
        (b"[1]", None, "a document of another shape"),
        (b'{"a": 1', None, "half a document"),
        (b" " * 70_000 + b"{}", None, "a document without end"),
    ],
)
def test_claims_are_finite_numbers(tmp_path: Path, content: bytes, taken: dict[str, float] | None, why: str) -> None:
    assert claims(written(tmp_path / "claims.json", content)) == taken, why


def test_whatever_is_taken_can_be_told(tmp_path: Path) -> None:
    many = json.dumps({f"metric{index}": index for index in range(100)}).encode()
    taken = claims(written(tmp_path / "claims.json", many))
    assert taken is not None
    assert len(ProgressRequest(run=1, attempt=1, step=2**53 - 1, claims=taken).claims) == 32


def test_links_pipes_and_folders_are_no_reports(tmp_path: Path) -> None:
    secret = written(tmp_path / "secret", b'{"a": 1}\n')
    (tmp_path / "link").symlink_to(secret)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("link", "pipe", "folder", "none"):
        assert (newest_step(tmp_path / name), claims(tmp_path / name)) == (None, None), name
