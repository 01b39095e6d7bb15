"""Numbers and texts as a person reads them."""

import pytest

from rloop_operator.cli import words


@pytest.mark.parametrize(
    ("value", "unit", "told"),
    [
        (0.0273358, 0.00271, "0.0273"),
        (0.0273358, 0.0, "0.02734"),
        (1234.5678, 12.0, "1235"),
        (1234.5678, 0.5, "1234.57"),
        (-0.5, 0.01, "-0.500"),
        (0.0, 0.1, "0"),
        (1.5e9, 3.0, "1.5e+09"),
        (3e-9, 1e-9, "3e-09"),
        (0.25, float("inf"), "0.25"),
    ],
)
def test_a_number_has_the_digits_that_its_noise_leaves_it(value: float, unit: float, told: str) -> None:
    assert words.number(value, unit) == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0:00"), (59.9, "0:59"), (61, "1:01"), (3600, "1:00:00"), (200_000, "2d 7:33:20"), (-3, "0:00")],
)
def test_durations(seconds: float, told: str) -> None:
    assert words.duration(seconds) == told


def test_a_share_is_told_only_where_it_means_something() -> None:
    assert words.gain(0.1, 0.2) == "0.1 (50 %)"
    assert words.gain(0.1, -0.2) == "0.1"
    assert words.gain(0.1, 0.0) == "0.1"
    assert words.gain(0.1, None) == "0.1"


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
