"""Guardrails: metrics of the runs behind a keep that must stay within bounds.

Called by judge before a keep, and by `rloop.verify` for every keep.
"""

from __future__ import annotations

from statistics import fmean

from rloop.api.experiment import ResearchExperiment, Run
from rloop.api.researchloop import ResearchLoopSpec
from rloop.decide.queries import runs


def broken(spec: ResearchLoopSpec, experiment: ResearchExperiment) -> str | None:
    """A sentence about the first guardrail that the runs behind the keep violate; None if they meet all."""
    done = [run for run in experiment.status.runs if run.phase == "Done"]
    counted = [run for run in done if run.kind in runs.POST_SCREEN] or [run for run in done if run.kind == "screen"]
    for guardrail in spec.objective.guardrails:
        found = [_measured(run, guardrail.metric) for run in counted]
        present = [value for value in found if value is not None]
        if len(present) < len(found):
            return f"guardrail {guardrail.metric}: the verdict does not have this metric"
        mean = fmean(present)
        if guardrail.max is not None and mean > float(guardrail.max):
            return f"guardrail {guardrail.metric}: {mean:.6g} is above max {guardrail.max}"
        if guardrail.min is not None and mean < float(guardrail.min):
            return f"guardrail {guardrail.metric}: {mean:.6g} is below min {guardrail.min}"
    return None


def _measured(run: Run, metric: str) -> float | None:
    usage = run.attempts[-1].usage
    ours = {
        "run.wallSeconds": usage.wall_seconds,
        "run.cpuSeconds": usage.cpu_seconds,
        "run.gpuSeconds": usage.gpu_seconds,
        "run.peakMemoryBytes": float(usage.peak_memory_bytes),
    }
    return ours[metric] if metric in ours else runs.scored(run, metric)
