"""Numbers and texts as a person reads them."""

import pytest

from rloop_operator.cli.terminal import words


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0.0273358, "0.02734"),
        (0.25, "0.2500"),
        (1234.5678, "1235"),
        (123456.78, "123457"),
        (0.99996, "1.000"),
        (-0.5, "-0.5000"),
        (0.0, "0"),
        (1.5e9, "1.500e+09"),
        (3e-9, "3.000e-09"),
        (float("inf"), "inf"),
    ],
)
def test_a_number_has_four_significant_digits(value: float, told: str) -> None:
    assert words.number(value) == told


@pytest.mark.parametrize(
    ("value", "low", "high", "told"),
    [
        (0.0273358, 0.025, 0.0297, "0.02734 [0.02500, 0.02970]"),
        (0.1012, 0.09812, 0.10428, "0.1012 [0.0981, 0.1043]"),
        (0.00001, -0.25, 0.25, "0.0000 [-0.2500, 0.2500]"),
        (0.5, 0.5, 0.5, "0.5000"),
        (0.5, None, None, "0.5000"),
    ],
)
def test_an_interval_has_the_digits_of_its_value(
    value: float, low: float | None, high: float | None, told: str
) -> None:
    assert words.interval(value, low, high) == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0:00"), (59.9, "0:59"), (61, "1:01"), (3600, "1:00:00"), (200_000, "2d 7:33:20"), (-3, "0:00")],
)
def test_durations(seconds: float, told: str) -> None:
    assert words.duration(seconds) == told


def test_a_share_is_told_only_where_it_means_something() -> None:
    assert words.gain(0.1, 0.2) == "0.1000 (50 %)"
    assert words.gain(0.1, -0.2) == "0.1000"
    assert words.gain(0.1, 0.0) == "0.1000"
    assert words.gain(0.1, None) == "0.1000"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a\x1b[31mred\x1b[0m", "ared"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]8;;http://x\x1b\\link", "link"),
        ("bell\x07 \u202eback", "bell back"),
        ("größer ± [bold]", "größer ± [bold]"),
        ("two\nlines\t", "two lines"),
    ],
)
def test_what_a_terminal_would_obey_is_taken_out(text: str, told: str) -> None:
    assert words.line(text) == told


def test_a_long_line_is_cut_with_a_sign_of_it() -> None:
    assert words.line("abcdefgh", 5) == "abcd…"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("c2-b01-r1-v1: there is no secret", "b01-r1-v1: there is no secret"),
        ("c2-i0004-e1 over c2-b01", "i0004-e1 over b01"),
        ('no ConfigMap "c2-task-files" is there', 'no ConfigMap "c2-task-files" is there'),
        ("abc2-b01 and x-c2-i0001 are others'", "abc2-b01 and x-c2-i0001 are others'"),
        ("c2-b01-r1-a1. In c2-b01, the end", "b01-r1-a1. In b01, the end"),
        *((path, path) for path in ("/x/c2-b01-r1-a1/t.py", "c2-i0001-e1/t.py", "see c2-b01-r1-v1.log", "/x/c2-b01")),
    ],
)
def test_only_names_of_its_own_children_are_shortened(text: str, told: str) -> None:
    assert words.inside(text, "c2") == told


HEAD = "run 1: Error, exit code 1. Last output: "
END = "ModuleNotFoundError: No module named 'torchy'"
FRAME = '  File "/a b/c2-b01-r1-a1/train.py", line 3, in <module>\n    import torchy\n    ^^^^^^\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"{HEAD}Traceback (most recent call last):\n{FRAME}{END}\n[rloop] a note", f"{HEAD}{END} [rloop] a note"),
        (f'{HEAD}1-a1/train.py", line 3, in <module>\n    import torchy\n{FRAME}{END}', f"{HEAD}{END}"),
        (f"{HEAD}epoch 1\nTraceback (most recent call last):\n{FRAME}{END}", f"{HEAD}epoch 1 {END}"),
        (f"{HEAD}\n{FRAME}{END}\n\nDuring handling of it:\n\n{FRAME}KeyError: 1", f"{HEAD}KeyError: 1"),
        (f'{HEAD}  File "t.py", line 1\n    a b\n      ^\nSyntaxError: bad', f"{HEAD}SyntaxError: bad"),
        ('c2-b01: no YAML\n  in "a", line 1, column 2', 'b01: no YAML in "a", line 1, column 2'),
        ('cut after File "a", line 1, in b', 'cut after File "a", line 1, in b'),
    ],
)
def test_of_a_traceback_only_the_end_is_told(text: str, told: str) -> None:
    assert words.brief(text, "c2") == told
