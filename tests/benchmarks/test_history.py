"""What is made of a whole campaign costs in proportion to its length."""

import pytest
from benchmarks.campaigns.history import history
from benchmarks.history import PARTS
from tests.support.counting import instructions

SMALL, LARGE = 50, 400


@pytest.mark.parametrize("part", PARTS)
def test_eight_times_the_experiments_cost_about_eight_times_the_work(part: str) -> None:
    do = PARTS[part]
    do(history(SMALL))  # what only happens once is over
    small, large = history(SMALL), history(LARGE)
    ratio = instructions(lambda: do(large)) / instructions(lambda: do(small))
    assert ratio < 1.2 * LARGE / SMALL
