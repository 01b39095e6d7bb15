"""Checks that the shell supports everything a ResearchLoop requests, beyond its schema.

Called by `rloop validate`, and by each shell before it accepts a loop. A field of the API that is not built yet must be
rejected by name: a campaign that ignored it would look like one that obeyed it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from rloop.api.researchloop import FROZEN_FIELDS, ResearchLoop, ResearchLoopSpec
from rloop.campaign_state import finished
from rloop.errors import InputProblem

Shell = Literal["local", "cluster"]
OURS = ("/rloop", "/task", "/tmp", "/dev", "/proc", "/sys")  # noqa: S108 -- paths in a pod, not of this process
"""Paths in a run's pod that the task contract reserves or that every container has."""
LONGEST_NAME_OF_PYTORCHJOBS = 33
"""Each worker has a Service, and its name `NAME-i0001-e10-r16-a99-worker-1023` may have at most 63 characters."""
BUILT_POLICIES = ("random-search", "coordinate-search", "tpe", "cma-es")


def unsupported(loop: ResearchLoop, shell: Shell) -> list[InputProblem]:
    """Features of the loop that `shell` does not support, each with what to use instead."""
    sources = _sources_of_a_cluster if shell == "local" else _sources_of_a_laptop
    found = [*sources(loop.spec), *_not_built(loop.spec), *_never_spent(loop.spec), *_parts_of_gpus(loop.spec)]
    if shell == "cluster" and loop.spec.experiment.py_torch_job is not None:
        found += _too_long(loop.metadata.name)
    return [InputProblem(field, message) for field, message in found]


Found = Iterator[tuple[str, str]]


def _sources_of_a_cluster(spec: ResearchLoopSpec) -> Found:
    remedy = "not supported by the local shell: use path, a folder relative to the manifest (or validate --for cluster)"
    if spec.agent.image is not None and spec.agent.command is None:
        told = "is missing: the local shell does not run images; set the command to run (or validate --for cluster)"
        yield "spec.agent.command", f'{told}; "./agent.py" means a file next to the manifest'
    for index, variable in enumerate(spec.agent.env):
        if variable.value is None and variable.from_env is None:
            told = "is missing: rloop run reads no Secrets; name the variable of your environment that has the value"
            yield f"spec.agent.env[{index}].fromEnv", told
    if spec.experiment.volumes:
        told = "not supported by the local shell: keep small data in the task, pass the absolute path of large data in "
        yield "spec.experiment.volumes", f"{told}experiment.env (or validate --for cluster)"
    if spec.task.config_map is not None:
        yield "spec.task.configMap", remedy
    if spec.evaluation.code.config_map is not None:
        yield "spec.evaluation.code.configMap", remedy
    if spec.agent.references is not None and spec.agent.references.config_map is not None:
        yield "spec.agent.references.configMap", remedy
    for name, held_out in (
        ("heldOut", spec.evaluation.held_out),
        ("finalHeldOut", spec.evaluation.final_held_out),
    ):
        if held_out is not None and held_out.path is None:
            yield f"spec.evaluation.{name}", remedy


def _sources_of_a_laptop(spec: ResearchLoopSpec) -> Found:
    where = "only the local shell can read a folder next to the manifest; in a cluster use"
    for name, source in (
        ("task", spec.task),
        ("evaluation.code", spec.evaluation.code),
        ("agent.references", spec.agent.references),
    ):
        if source is not None and source.path is not None:
            yield f"spec.{name}.path", f"{where} configMap (rloop pack writes it)"
    for name, held_out in (
        ("heldOut", spec.evaluation.held_out),
        ("finalHeldOut", spec.evaluation.final_held_out),
    ):
        if held_out is not None and held_out.path is not None:
            yield (
                f"spec.evaluation.{name}.path",
                f"{where} secret (rloop pack writes it), configMap or persistentVolumeClaim",
            )
    for index, volume in enumerate(spec.experiment.volumes):
        field = f"spec.experiment.volumes[{index}]"
        if volume.path is not None:
            yield f"{field}.path", f"{where} persistentVolumeClaim or configMap"
        if not volume.mount_path.startswith("/") or volume.mount_path.startswith(OURS):
            yield f"{field}.mountPath", f"is {volume.mount_path}: give an absolute path, not below {', '.join(OURS)}"
    yield from _agent_of_a_laptop(spec)
    if spec.experiment.image is None:
        yield "spec.experiment.image", "is missing: a cluster runs the command in an image"
    if spec.budget.cpu_seconds is not None:
        yield (
            "spec.budget.cpuSeconds",
            "not supported in a cluster, where it is not measured: use runs or activeSeconds",
        )
    for index, guardrail in enumerate(spec.objective.guardrails):
        if guardrail.metric in ("run.cpuSeconds", "run.peakMemoryBytes"):
            remedy = "not supported in a cluster, where it is not measured: use resources.limits, or run.wallSeconds"
            yield f"spec.objective.guardrails[{index}].metric", remedy


def _agent_of_a_laptop(spec: ResearchLoopSpec) -> Found:
    if spec.agent.client is not None:
        told = "is not supported in a cluster yet: use image and command, with an image that contains the client"
        yield "spec.agent.client", told
    for index, variable in enumerate(spec.agent.env):
        if variable.value is None and variable.secret_key_ref is None:
            told = "is missing: a cluster does not know your environment; put the value into a Secret, and name it"
            yield f"spec.agent.env[{index}].secretKeyRef", told


def _not_built(spec: ResearchLoopSpec) -> Found:
    evaluation, experiment, agent = spec.evaluation, spec.experiment, spec.agent
    policy = agent.policy.name if agent.policy is not None else BUILT_POLICIES[0]
    built = " or ".join(BUILT_POLICIES)
    folders = "not supported yet: use path, or in a cluster configMap (rloop pack writes it)"
    asked = (
        (spec.task.git is not None, "task.git", folders),
        (spec.task.image is not None, "task.image", folders),
        (spec.objective.mode == "Measure", "objective.mode", "Measure is not supported yet: use Optimize"),
        (
            evaluation.comparison == "Paired",
            "evaluation.comparison",
            "Paired is not supported yet: use Single, and more repeats to reduce noise",
        ),
        (
            evaluation.candidate is not None,
            "evaluation.candidate",
            "not supported yet: evaluation.command has to score the artifact itself",
        ),
        (evaluation.volumes, "evaluation.volumes", "not supported yet: use heldOut"),
        (
            experiment.train_job is not None,
            "experiment.trainJob",
            "not supported yet: use pyTorchJob, or job: {} for one pod",
        ),
        (policy not in BUILT_POLICIES, "agent.policy.name", f"{policy} is not supported yet: use {built}"),
        (
            agent.explorers != ["Investigate"] and agent.searcher is not None,
            "agent.explorers",
            "a policy has no roles: use [Investigate], or omit the field",
        ),
        (
            agent.references is not None and agent.searcher is not None,
            "agent.references",
            "a policy does not read papers: omit the field",
        ),
        (
            spec.stall.on_attention != "Continue",
            "stall.onAttention",
            "Suspend is not supported yet: use Continue, and set suspend: true yourself",
        ),
        (
            spec.history_limit is not None,
            "historyLimit",
            "not supported yet: all experiments remain as objects; omit the field",
        ),
        (
            spec.ttl_seconds_after_finished is not None,
            "ttlSecondsAfterFinished",
            "not supported yet: omit the field, and delete the loop yourself",
        ),
    )
    yield from ((f"spec.{field}", message) for is_asked, field, message in asked if is_asked)


def _never_spent(spec: ResearchLoopSpec) -> Found:
    """Limits that nothing counts against: a user would rely on a protection that has no effect."""
    if spec.budget.gpu_seconds is not None and not spec.experiment.gpus:
        told = (
            "spec.experiment.resources.limits requests no GPU, so this limit has no effect: use runs or activeSeconds"
        )
        yield "spec.budget.gpuSeconds", told
    if spec.agent.resources.gpus:
        yield (
            "spec.agent.resources",
            "requests a GPU, which no budget counts here: request it in spec.experiment.resources",
        )
    if spec.agent.llm is None:
        if spec.budget.tokens is not None and spec.agent.client is None:
            yield "spec.budget.tokens", "only an agent with an llm or a client uses it: use runs or activeSeconds"
        if spec.budget.cost is not None:
            instead = "runs or activeSeconds" if spec.agent.client is None else "tokens, which the client reports"
            yield "spec.budget.cost", f"only an agent with an llm uses it: use {instead}"


def _parts_of_gpus(spec: ResearchLoopSpec) -> Found:
    """Extended resources that are not whole numbers: the API server rejects them too, but only in a pod."""
    for kind, asked in (("requests", spec.experiment.resources.requests), ("limits", spec.experiment.resources.limits)):
        for name, number in asked.items():
            if "/" in name and not number.isdigit():
                yield f"spec.experiment.resources.{kind}", f"{name} is {number}: give a whole number"


def _too_long(name: str) -> Found:
    if len(name) > LONGEST_NAME_OF_PYTORCHJOBS:
        yield (
            "metadata.name",
            f"has {len(name)} characters; the maximum with pyTorchJob is {LONGEST_NAME_OF_PYTORCHJOBS}",
        )


def changed_frozen_fields(old: ResearchLoop, new: ResearchLoop) -> list[InputProblem]:
    """Fields that are frozen once the loop is Accepted and differ in `new`, by the same rule as in the API server."""
    remedy = "put the old value back, or start a new campaign in another folder"
    if finished(old):
        remedy = "that campaign has ended: start a new one in another folder"
    before = old.model_dump(mode="json", by_alias=True)["spec"]
    after = new.model_dump(mode="json", by_alias=True)["spec"]
    return [
        InputProblem(
            ".".join(place),
            f"is frozen since the campaign was accepted ({was!r}, now {now!r}); {remedy}",
        )
        for field in FROZEN_FIELDS
        for place, was, now in _differences(_at(before, field), _at(after, field), ("spec", *field))
    ]


def _at(document: Any, place: tuple[str, ...]) -> Any:
    for part in place:
        document = document[part]
    return document


def _differences(old: Any, new: Any, place: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """The individual fields that differ, so that a user sees more than "evaluation"."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in sorted({*old, *new}):
            yield from _differences(old.get(name), new.get(name), (*place, name))
    elif old != new:
        yield place, old, new


def glob_problem(glob: str) -> str | None:
    """Why no file can match the glob as intended; None if it is well formed (syntax: `rloop.api.reading.globs`)."""
    parts = glob.split("/")
    if "\\" in glob:
        return f'"{glob}": separate folders with /'
    if parts[0] == ".":
        return f'"{glob}": write "{glob[2:]}", globs are relative to the task already'
    if glob.endswith("/"):
        return f'"{glob}": write "{glob}**" for everything in the folder'
    if "" in parts or "." in parts:
        return f'"{glob}" has an empty part or a "." between slashes; remove it'
    if any(sign in glob for sign in "[]{}"):
        return f'"{glob}": only *, ** and ? are supported in globs; list the files one by one'
    if any("**" in part and part != "**" for part in parts):
        return f'"{glob}": ** must be alone between slashes; for one folder write *'
    return None
