"""Which undecided candidate the end of the budget names, and with what evidence."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.builders import NOW, baseline, done, experiment, iteration, running, session, verdict
from tests.support.deciding import after, observed

from rloop.api.loop_status import Best
from rloop.decide.campaign import budget

BEST = Best(experiment="demo-b01", value=1.0, low=0.99, high=1.01, gain=0.0, n=5, verified_at=NOW)
AT_THE_END = running(status={"best": BEST}, budget__runs=8, objective__minimumGain="0.125")
OVER = iteration(1, session("Finished"))


def screened(number: int, *values: float, **fields: Any) -> Any:
    runs = [*done("screen", *values[:1]), *done("confirm", *values[1:], first=2)]
    return experiment(f"demo-i0001-e{number}", *runs, **fields)


@pytest.mark.parametrize(
    ("objects", "lead"),
    [
        pytest.param([screened(1, 0.5), screened(2, 0.3, 0.5)], ("demo-i0001-e2", 0.4, 2), id="the largest gain"),
        pytest.param([screened(1, 0.95), screened(2, 1.2), screened(3, 1.3)], None, id="less than minimumGain"),
        pytest.param([screened(1, 0.875, 0.875, 0.875)], ("demo-i0001-e1", 0.875, 3), id="exactly minimumGain"),
        pytest.param(
            [screened(1), screened(2, 0.9, 0.8, 0.8)], ("demo-i0001-e2", 2.5 / 3, 3), id="only what has a run"
        ),
        pytest.param(
            [screened(1, 0.1, phase="Rejected", verdict=verdict()), screened(2, 0.6, 0.6, 0.6)],
            ("demo-i0001-e2", 0.6, 3),
            id="what has a verdict is no lead",
        ),
    ],
)
def test_the_lead(objects: list[Any], lead: tuple[str, float, int] | None) -> None:
    decision = after(budget.end, observed(AT_THE_END, baseline(), OVER, *objects))
    assert decision.status is not None
    assert decision.status.ending is not None
    found = decision.status.lead
    assert (found is not None) is (lead is not None)
    if lead is None or found is None:
        assert "leads" not in decision.status.ending.message
        return
    name, value, n = lead
    assert (found.experiment, found.n, found.runs_left) == (name, n, 10 - n)
    assert found.value == pytest.approx(value)
    assert found.gain == pytest.approx(1.0 - value)
    assert f"{name} leads with loss" in decision.status.ending.message


def test_without_a_gain_there_is_no_lead_though_none_is_demanded() -> None:
    of = running(status={"best": BEST}, budget__runs=6)
    status = after(budget.end, observed(of, baseline(), OVER, screened(1, 1.0))).status
    assert status is not None
    assert (status.ending is not None, status.lead) == (True, None)
