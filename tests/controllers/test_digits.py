"""The digits of a value follow its noise."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rloop.digits import number

REAL = st.floats(-1e300, 1e300, allow_nan=False)


@pytest.mark.parametrize(
    ("value", "noise", "told"),
    [
        pytest.param(-1234567.0321, 0.5092, "-1234567.03", id="large beside its noise: it was -1.235e+06"),
        pytest.param(-1234566.5, 0.5092, "-1234566.50", id="and another one is told from it"),
        pytest.param(0.58662, 0.01359, "0.5866", id="four digits are enough"),
        pytest.param(12.3456789, 0.0001, "12.34568", id="two digits of the noise"),
        pytest.param(1.234e-05, 0.5, "0.0000", id="no more than four digits of the noise"),
        pytest.param(4123456789.0, 12345.0, "4.123457e+09", id="a power of ten"),
        pytest.param(4123456789.0, 1e10, "4.12e+09", id="fewer digits where the noise is large"),
        pytest.param(0.0, 0.5, "0.00", id="zero"),
        pytest.param(-1e-9, 0.5, "0.0000", id="no minus before nothing"),
        pytest.param(0.99996, 0.0, "1.000", id="without a known noise four digits"),
        pytest.param(123456.78, 0.0, "123457", id="whole below a million"),
        pytest.param(math.inf, 1.0, "inf", id="infinite"),
        pytest.param(1.0, math.inf, "1.000", id="no noise that is a number"),
    ],
)
def test_digits_follow_the_noise(value: float, noise: float, told: str) -> None:
    assert number(value, noise) == told


@given(value=REAL, noise=st.floats(1e-8, 1e290))
def test_what_is_told_is_the_value_up_to_a_tenth_of_its_noise(value: float, noise: float) -> None:
    told = float(number(value, noise))
    assert abs(told - value) <= 0.1 * noise + abs(value) * 1e-14


@given(value=REAL)
def test_without_a_noise_four_digits_are_told(value: float) -> None:
    assert abs(float(number(value)) - value) <= 0.0005001 * abs(value) + 5e-10
