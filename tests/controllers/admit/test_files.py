"""Paths, globs and differences of an experiment's files."""

from __future__ import annotations

import pytest

from rloop.admit import files
from rloop.api.globs import matches
from rloop.errors import Refused


@pytest.mark.parametrize(
    ("path", "good"),
    [
        pytest.param("recipe.json", True, id="a file"),
        pytest.param("src/net.py", True, id="a file in a folder"),
        pytest.param("/etc/passwd", False, id="an absolute path"),
        pytest.param("../evaluation/score.py", False, id="a way out"),
        pytest.param("a/./b", False, id="a dot"),
        pytest.param("a//b", False, id="an empty part"),
        pytest.param("a\\b", False, id="a backslash"),
        pytest.param("a\0", False, id="a zero byte"),
        pytest.param("a" * 300, False, id="too long"),
    ],
)
def test_path(path: str, good: bool) -> None:
    if good:
        files.check_path(path)
        return
    with pytest.raises(Refused) as caught:
        files.check_path(path)
    assert caught.value.reason == "PathInvalid"


@pytest.mark.parametrize(
    ("glob", "path", "expected"),
    [
        pytest.param("*.py", "train.py", True, id="a star"),
        pytest.param("*.py", "src/train.py", False, id="stays in its folder"),
        pytest.param("**/*.py", "src/deep/train.py", True, id="two stars cross folders"),
        pytest.param("**/*.py", "train.py", True, id="or none"),
        pytest.param("src/**", "src/a/b", True, id="all below a folder"),
        pytest.param("a?c", "abc", True, id="one character"),
        pytest.param("a.c", "abc", False, id="a dot is a dot"),
        pytest.param("train.py", "train.py.bak", False, id="the whole path"),
    ],
)
def test_glob(glob: str, path: str, expected: bool) -> None:
    assert matches(path, [glob]) is expected


@pytest.mark.parametrize(
    ("before", "after", "count"),
    [
        pytest.param("a\nb\n", "a\nb\n", 0, id="equal"),
        pytest.param("a\nb\n", "a\nc\n", 2, id="a changed line is one away and one added"),
        pytest.param("", "a\nb\n", 2, id="a new file"),
    ],
)
def test_changed_lines(before: str, after: str, count: int) -> None:
    assert files.changed_lines(before, after) == count


def test_what_carries_no_meaning_does_not_count() -> None:
    one, other = "a = 1\n\n# why\nb  =  2", "a = 1\nb = 2  \n"
    assert files.digest({"x": files.normalised(one)}) == files.digest({"x": files.normalised(other)})
    assert files.digest({"x": "a"}) != files.digest({"y": "a"})


def test_paths_that_differ_include_new_and_missing_ones() -> None:
    assert files.changed({"a": "1", "b": "1", "c": "1"}, {"b": "2", "c": "1", "d": "1"}) == ["a", "b", "d"]
