"""Admission of a finding, and of a checker's verdict on one.

A finding is a statement with measured experiments of this campaign as evidence. A verdict comes from a session that
neither made the claim nor works in parallel with the session that made it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rloop.api.experiment import ResearchExperiment
from rloop.api.iteration import Finding, SessionSpec
from rloop.api.wire import FindingRequest
from rloop.errors import Refused


def admit(
    request: FindingRequest, experiments: Mapping[str, ResearchExperiment], recorded: Sequence[Finding] = ()
) -> None:
    """Raises Refused: EvidenceUnknown or EvidenceUnmeasured unless every piece of evidence has a verified value;
    Repeated if a recorded finding says the same (but for case, spaces and the final stop) with this evidence.
    """
    for finding in recorded:
        if _words(finding.statement) == _words(request.statement) and set(request.evidence) <= set(finding.evidence):
            raise Refused("Repeated", f"{finding.name} says the same of the same experiments: state something new")
    for name in request.evidence:
        experiment = experiments.get(name)
        if experiment is None:
            raise Refused("EvidenceUnknown", f'there is no experiment "{name}": evidence must be names of experiments')
        if not any(run.value is not None for run in experiment.status.runs):
            raise Refused("EvidenceUnmeasured", f"{name} has no verified value yet: wait for its verdict")


def _words(statement: str) -> str:
    return " ".join(statement.casefold().split()).rstrip(".")


def admit_verdict(name: str, session: SessionSpec, claims: Sequence[Finding]) -> Finding:
    """The claim that the session may judge. Raises Refused (Forbidden, FindingUnknown)."""
    if session.role != "Check":
        raise Refused("Forbidden", "only a session of role Check judges findings")
    found = next((one for one in claims if one.name == name), None)
    if found is None:
        known = ", ".join(one.name for one in claims) or "none is left"
        raise Refused("FindingUnknown", f'"{name}" is not a finding for you to check: {known}')
    return found
