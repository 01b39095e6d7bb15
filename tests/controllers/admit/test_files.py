"""Paths, globs and differences of an experiment's files."""

from __future__ import annotations

import re
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.hang import no_hang

from rloop.admit import files
from rloop.api.reading.globs import matches
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


@given(st.text("ab/*?\n", max_size=7), st.text("ab/\n", max_size=6))
def test_globs_match_as_their_definition_says(glob: str, path: str) -> None:
    def covers(pieces: tuple[str, ...], rest: str) -> bool:
        if not pieces:
            return not rest
        first, *others = pieces
        after = tuple(others)
        if first in ("*", "**"):
            crosses = first == "**"
            return covers(after, rest) or bool(rest and (crosses or rest[0] != "/") and covers(pieces, rest[1:]))
        if first == "**/":
            folders = [index + 1 for index, character in enumerate(rest) if character == "/"]
            return covers(after, rest) or any(covers(after, rest[index:]) for index in folders)
        return bool(rest and (rest[0] != "/" if first == "?" else rest[0] == first) and covers(after, rest[1:]))

    pieces = tuple(re.findall(r"\*\*/|\*\*|\*|\?|[^*?]", glob))
    assert matches(path, [glob]) is covers(pieces, path)


@given(st.lists(st.text("ab/*?", max_size=5), max_size=4), st.text("ab/", max_size=5))
def test_several_globs_match_as_each_of_them(globs: list[str], path: str) -> None:
    assert matches(path, globs) is any(matches(path, [glob]) for glob in globs)


@pytest.mark.parametrize("glob", ["*a" * 120 + "b", "**a" * 80 + "b", "**/" * 80 + "b", "*?" * 120 + "b"])
def test_no_glob_is_slow(glob: str) -> None:
    with no_hang():
        assert matches("a/" * 100 + "a" * 55, [glob] * 64) is False


@pytest.mark.parametrize(
    ("before", "after", "count"),
    [
        pytest.param("a\nb\n", "a\nb\n", 0, id="equal"),
        pytest.param("a\nb\n", "a\nc\n", 2, id="a changed line is one away and one added"),
        pytest.param("", "a\nb\n", 2, id="a new file"),
    ],
)
def test_changed_lines(before: str, after: str, count: int) -> None:
    assert files.changed_lines(before, after, 300) == count


def test_changed_lines_are_counted_up_to_the_limit() -> None:
    assert files.changed_lines("", "a\nb\nc\n", 1) == 2


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("\n", "\n" * 80_000, id="newlines"),
        pytest.param("a\nb\n" * 40_000, "b\na\na\n" * 40_000, id="two lines again and again"),
        pytest.param("".join(f"{n}\n" for n in range(80_000)), "x\n" * 80_000, id="nothing alike"),
    ],
)
def test_the_work_is_bounded_by_lines_times_the_limit(before: str, after: str) -> None:
    with no_hang():
        assert files.changed_lines(before, after, 300) == 301


LINE = st.lists(st.sampled_from("abc"), max_size=8)


@given(LINE, LINE)
def test_the_count_is_the_smallest_number_of_additions_and_removals(old: list[str], new: list[str]) -> None:
    @cache
    def fewest(i: int, j: int) -> int:
        if i == len(old) or j == len(new):
            return len(old) - i + len(new) - j
        changed = 1 + min(fewest(i + 1, j), fewest(i, j + 1))
        return min(changed, fewest(i + 1, j + 1)) if old[i] == new[j] else changed

    assert files.changed_lines("\n".join(old), "\n".join(new), 300) == fewest(0, 0)


TEXT = st.lists(st.sampled_from("abc"), max_size=30).map(lambda lines: "".join(f"{line}\n" for line in lines))


@given(TEXT, TEXT)
def test_a_difference_applied_to_the_old_text_gives_the_new_one(before: str, after: str) -> None:
    old, new = before.splitlines(), list[str]()
    position, size = 0, 0
    for line in files.unified("x", before, after).splitlines()[2:]:
        found = re.fullmatch(r"@@ -(\d+),(\d+) \+\d+,\d+ @@", line)
        if found is not None:
            start = int(found[1]) - (found[2] != "0")
            new += old[position:start]
            position = start
            continue
        if line[0] in " -":
            assert line[1:] == old[position]
            position += 1
        if line[0] in " +":
            new.append(line[1:])
        size += line[0] != " "
    assert new + old[position:] == after.splitlines()
    assert size == files.changed_lines(before, after, 100)


@pytest.mark.parametrize("lines", [7_900, 400_000])
def test_no_difference_is_slow(lines: int) -> None:
    with no_hang():
        shown = files.unified("x", "a\nb\n" * (lines // 2), "b\na\na\n" * (lines // 3))
    assert shown.startswith("--- a/x\n+++ b/x\n")
    assert ("too long" in shown) is (lines > 8_000)


def test_what_carries_no_meaning_does_not_count() -> None:
    one, other = "a = 1\n\n# why\nb  =  2", "a = 1\nb = 2  \n"
    assert files.digest({"x": files.normalised(one)}) == files.digest({"x": files.normalised(other)})
    assert files.digest({"x": "a"}) != files.digest({"y": "a"})


def test_paths_that_differ_include_new_and_missing_ones() -> None:
    assert files.changed({"a": "1", "b": "1", "c": "1"}, {"b": "2", "c": "1", "d": "1"}) == ["a", "b", "d"]


@given(TEXT, TEXT)
def test_the_old_lines_of_a_change_stand_before_the_new_ones(before: str, after: str) -> None:
    marks = "".join(line[0] for line in files.unified("x", before, after).splitlines()[2:])
    assert "+-" not in marks
