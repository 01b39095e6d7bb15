"""What the gateway lets in as a finding: a statement whose evidence are measured experiments of this campaign."""

from __future__ import annotations

from collections.abc import Mapping

from rloop.api.experiment import ResearchExperiment
from rloop.api.wire import FindingRequest
from rloop.errors import Refused


def admit(request: FindingRequest, experiments: Mapping[str, ResearchExperiment]) -> None:
    """Raises Refused (EvidenceUnknown, EvidenceUnmeasured) unless every piece of evidence has a verified value."""
    for name in request.evidence:
        experiment = experiments.get(name)
        if experiment is None:
            raise Refused("EvidenceUnknown", f'there is no experiment "{name}": evidence are names of experiments')
        if not any(run.value is not None for run in experiment.status.runs):
            raise Refused("EvidenceUnmeasured", f"{name} has no verified value yet: wait for its verdict")
