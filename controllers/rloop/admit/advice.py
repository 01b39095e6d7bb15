"""Notes about a ResearchLoop that is valid but probably not what its author means.

Called by `rloop validate` and `rloop run`, which print the notes. They never reject a loop.
"""

from __future__ import annotations

from collections.abc import Iterator

from rloop.admit.loop import Shell
from rloop.api.researchloop import ResearchLoop, ResearchLoopSpec
from rloop.errors import InputProblem

RUNS_OF_A_KEEP = {"Standard": 10, "Economy": 5, "Provisional": 1}
"""Number of runs of a kept proposal, including its screening run."""
RUNS_OF_A_CONCLUSION = 5
LAUNCHERS = frozenset({"torchrun", "accelerate", "deepspeed", "torch.distributed.run"})
"""Programs that start one process per GPU themselves."""


def advice(loop: ResearchLoop, shell: Shell) -> list[InputProblem]:
    """All notes, each with its remedy."""
    found = [*_budget(loop.spec), *_gpus(loop.spec), *_deadlines(loop.spec)]
    if shell == "local":
        found += _local(loop.spec)
    return [InputProblem(field, message) for field, message in found]


Found = Iterator[tuple[str, str]]


def _budget(spec: ResearchLoopSpec) -> Found:
    if spec.objective.target is None and not spec.budget.model_fields_set:
        message = (
            "the campaign has neither a target nor a budget, so it never ends by itself; set runs or activeSeconds"
        )
        yield "spec.budget", message
    runs = spec.budget.runs
    if runs is None:
        return
    baseline, acceptance = spec.evaluation.baseline_runs, spec.evaluation.acceptance
    keep = RUNS_OF_A_KEEP[acceptance]
    final = RUNS_OF_A_CONCLUSION if spec.objective.target is not None and acceptance != "Provisional" else 0
    least = baseline + keep + final
    if runs < least:
        parts = f"baseline {baseline}, one kept proposal {keep}" + (f", conclusion {final}" if final else "")
        short_of = "to keep a proposal"
        if runs < baseline:
            short_of = "even for the baseline, and to keep a proposal"
        elif runs >= baseline + keep:
            short_of = "to confirm the target"
        message = f"{runs} runs are too few {short_of}, which needs at least {least} ({parts}); raise it"
        yield "spec.budget.runs", message


def _gpus(spec: ResearchLoopSpec) -> Found:
    """Settings that would hold GPUs, or wait for them, to no effect."""
    template, limit = spec.experiment, spec.budget.gpu_seconds
    if not template.gpus:
        return
    reserved = template.gpus * template.active_deadline_seconds
    if limit is not None and limit < reserved:
        parts = f"{template.gpus} GPUs times activeDeadlineSeconds {template.active_deadline_seconds}"
        message = (
            f"{limit} are too few to start a run, which reserves {reserved} ({parts}); raise it, or lower the deadline"
        )
        yield "spec.budget.gpuSeconds", message
    job, of_a_pod = template.py_torch_job, template.resources.gpus
    starts_ranks = any(word.rpartition("/")[2] in LAUNCHERS for word in template.command)
    if job is not None and job.proc_per_node != of_a_pod and not starts_ranks:
        message = f"is {job.proc_per_node}, and a pod has {of_a_pod} GPUs; for one GPU per rank write {of_a_pod}"
        yield "spec.experiment.pyTorchJob.procPerNode", message
    if "max_artifact_bytes" not in template.model_fields_set:
        message = (
            "is unset, so the default of 1 GiB applies: a run that leaves a larger model fails; "
            "set it to the size of your model"
        )
        yield "spec.experiment.maxArtifactBytes", message


def _deadlines(spec: ResearchLoopSpec) -> Found:
    progress, whole = spec.experiment.progress_deadline_seconds, spec.experiment.active_deadline_seconds
    if progress is not None and progress >= whole:
        message = f"{progress} never pass: activeDeadlineSeconds ends an attempt after {whole}; write less"
        yield "spec.experiment.progressDeadlineSeconds", message


def _local(spec: ResearchLoopSpec) -> Found:
    for name, part in (("experiment", spec.experiment), ("evaluation", spec.evaluation)):
        if part.resources.gpus:
            message = (
                f"the local shell does not assign GPUs to runs: with parallelism {spec.parallelism} runs may collide"
            )
            yield f"spec.{name}.resources", message
        if part.image is not None:
            yield f"spec.{name}.image", "the local shell uses the programs of this machine, not the image"
    if spec.suspend:
        yield "spec.suspend", "nothing new starts while this is true; set it to false and run the same command again"
