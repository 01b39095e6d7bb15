"""Findings need measured evidence."""

from __future__ import annotations

import pytest
from tests.support.builders import done, experiment, run

from rloop.admit.finding import admit
from rloop.api.wire import FindingRequest
from rloop.errors import Refused

MEASURED, QUEUED = experiment("demo-i0001-e1", *done("screen", 0.5)), experiment("demo-i0001-e2", run())
KNOWN = {one.metadata.name: one for one in (MEASURED, QUEUED)}


@pytest.mark.parametrize(
    ("evidence", "refusal"),
    [
        pytest.param(["demo-i0001-e1"], None, id="a measured experiment"),
        pytest.param(["demo-i0009-e9"], "EvidenceUnknown", id="one that does not exist"),
        pytest.param(["demo-i0001-e1", "demo-i0001-e2"], "EvidenceUnmeasured", id="one without a value among others"),
    ],
)
def test_evidence(evidence: list[str], refusal: str | None) -> None:
    request_ = FindingRequest(statement="it helps", evidence=evidence)
    if refusal is None:
        admit(request_, KNOWN)
        return
    with pytest.raises(Refused) as caught:
        admit(request_, KNOWN)
    assert caught.value.reason == refusal
