"""The parts of a ResearchLoop's spec that describe what is run and where its files come from.

Used by `rloop.api.researchloop` and `rloop.api.evaluation`. They are a safe subset of pod fields and never a
raw pod template: whoever may create a ResearchLoop gets no more rights in the namespace than these give.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from rloop.api.common import (
    Argument,
    Command,
    Count,
    DnsLabel,
    Labels,
    Line,
    Model,
    ObjectName,
    Path,
    Quantity,
    Resources,
    Seconds,
    cel,
)

ENV_NAME_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"


def exactly_one(model: Model, *names: str, not_built: Collection[str] = ()) -> None:
    """Raise ValueError unless exactly one of the fields `names` (snake_case) of `model` is set.

    `not_built`: those of them that the message does not offer.
    """
    given = [name for name in names if getattr(model, name) is not None]
    if len(given) != 1:
        fields = {name: field.alias or name for name, field in type(model).model_fields.items()}
        wanted = ", ".join(fields[name] for name in names if name not in not_built)
        found = " and ".join(fields[name] for name in given) or "none"
        message = f"give exactly one of {wanted} (found: {found})"
        raise ValueError(message)


def one_of(*names: str, not_built: Collection[str] = ()) -> tuple[str, str]:
    """The CEL rule of `exactly_one`; `names` in camelCase."""
    given = ", ".join(f"has(self.{name})" for name in names)
    wanted = ", ".join(name for name in names if name not in not_built)
    return f"[{given}].exists_one(given, given)", f"give exactly one of {wanted}"


class ConfigMapFiles(Model):
    """Files in a ConfigMap. A key cannot hold `/`, so `items` maps keys to paths."""

    name: ObjectName
    """In the loop's own namespace. It is read once, when the loop is accepted."""
    items: Annotated[dict[Annotated[str, Field(min_length=1, max_length=253)], Path], Field(max_length=512)] = {}
    """Key in the ConfigMap -> path in the folder. Empty: each key is a file of that name."""


class GitSource(Model):
    """A git repository; fetched once, at Accept, by a Job with its own egress."""

    url: Annotated[str, Field(min_length=1, max_length=2048)]
    """As git takes it: https or ssh."""
    ref: Annotated[str, Field(min_length=1, max_length=256)]
    """Branch, tag or commit; resolved to a commit at Accept."""
    secret_ref: ObjectName | None = None
    """A Secret with the credentials."""


class ImageSource(Model):
    """A folder inside an image, for tasks above 900 KiB."""

    reference: Annotated[str, Field(min_length=1, max_length=512)]
    """With a digest, or a tag."""
    path: Path
    """The folder in it."""


class TaskSource(Model):
    """Where the task's files come from: exactly one of `path`, `configMap`."""

    model_config = cel(one_of("path", "configMap", "git", "image", not_built=("git", "image")))

    path: Path | None = None
    """A folder relative to the manifest. Only the local shell can read it."""
    config_map: ConfigMapFiles | None = None
    """Up to 900 KiB in all."""
    git: GitSource | None = None
    image: ImageSource | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        exactly_one(self, "path", "config_map", "git", "image", not_built=("git", "image"))
        return self


class FolderSource(Model):
    """Where they come from: exactly one of `path`, `configMap`."""

    model_config = cel(one_of("path", "configMap"))

    path: Path | None = None
    """A folder relative to the manifest. Only the local shell can read it."""
    config_map: ConfigMapFiles | None = None
    """Up to 900 KiB in all."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        exactly_one(self, "path", "config_map")
        return self


class CodeSource(FolderSource):
    """The verifier's own code: exactly one of `path`, `configMap`."""


class HeldOut(Model):
    """Data for the verifier only: exactly one of `path`, `secret`, `configMap`, `persistentVolumeClaim`."""

    model_config = cel(one_of("path", "secret", "configMap", "persistentVolumeClaim"))

    path: Path | None = None
    """A folder relative to the manifest. Only the local shell can read it."""
    secret: ObjectName | None = None
    """A Secret; each key is a file in $RLOOP_HELD_OUT."""
    config_map: ObjectName | None = None
    """A ConfigMap; each key is a file."""
    persistent_volume_claim: ObjectName | None = None
    """A claim, mounted read-only."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        exactly_one(self, "path", "secret", "config_map", "persistent_volume_claim")
        return self


class Volume(Model):
    """A read-only volume: exactly one of `persistentVolumeClaim`, `configMap`, `hostPath`, `path`."""

    model_config = cel(one_of("persistentVolumeClaim", "configMap", "hostPath", "path"))

    name: DnsLabel
    """Of your choice."""
    mount_path: Path
    """Where the program finds it."""
    persistent_volume_claim: ObjectName | None = None
    """A claim, mounted read-only."""
    config_map: ObjectName | None = None
    """A ConfigMap; each key is a file."""
    host_path: Path | None = None
    """A folder of the node; the namespace must allow it."""
    path: Path | None = None
    """A folder relative to the manifest. Only the local shell can read it."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        exactly_one(self, "persistent_volume_claim", "config_map", "host_path", "path")
        return self


class Toleration(Model):
    """A Kubernetes toleration."""

    key: Line | None = None
    """Of the taint."""
    operator: Literal["Exists", "Equal"] = "Equal"
    """Exists asks for the key only, Equal for the value too."""
    value: Line | None = None
    """Of the taint, with Equal."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Of the taint; absent: any."""
    toleration_seconds: Count | None = None
    """With NoExecute: how long the pod may stay."""


class EnvVar(Model):
    """One environment variable. Names that start with RLOOP_ belong to the contract between task and loop."""

    model_config = cel(("!self.name.startsWith('RLOOP_')", "names that start with RLOOP_ are set by the loop", ".name"))

    name: Annotated[str, Field(pattern=ENV_NAME_PATTERN, min_length=1, max_length=128)]
    """Letters, digits and _."""
    value: Argument
    """Plain text; a Secret is no value here."""

    @field_validator("name")
    @classmethod
    def _not_ours(cls, name: str) -> str:
        if name.startswith("RLOOP_"):
            message = f"names that start with RLOOP_ are set by the loop; choose another name than {name}"
            raise ValueError(message)
        return name


class Job(Model):
    """A plain batch job: one process, no options."""


class PyTorchJob(Model):
    """A Kubeflow PyTorchJob of equal workers under torchrun's environment."""

    replicas: Annotated[int, Field(ge=1, le=1024)] = 1
    """Pods (nodes)."""
    proc_per_node: Annotated[int, Field(ge=1, le=64)] = 1
    """Processes (ranks) in each pod."""

    @property
    def ranks(self) -> int:
        """Processes of one attempt."""
        return self.replicas * self.proc_per_node


class TrainJob(Model):
    """A Kubeflow Trainer v2 TrainJob."""

    runtime_ref: ObjectName
    """A ClusterTrainingRuntime, by name."""


class ExperimentTemplate(Model):
    """How one run of an experiment is executed. Exactly one of `job`, `pyTorchJob`."""

    model_config = cel(one_of("job", "pyTorchJob", "trainJob", not_built=("trainJob",)))

    job: Job | None = None
    """One process in a batch/v1 Job. Write `job: {}`."""
    py_torch_job: PyTorchJob | None = None
    train_job: TrainJob | None = None
    image: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    """Needed in a cluster; the local shell uses the machine's own programs."""
    image_pull_secrets: Annotated[list[ObjectName], Field(max_length=8)] = []
    """Secrets with a registry's credentials."""
    command: Command
    """Run in a fresh copy of the task with the experiment's files laid over."""
    env: Annotated[list[EnvVar], Field(max_length=64)] = []
    """Beside the contract's own RLOOP_* variables."""
    resources: Resources = Resources()
    """Of the container that runs `command`."""
    volumes: Annotated[list[Volume], Field(max_length=16)] = []
    """Data that is too large for the task."""
    node_selector: Labels = {}
    """Labels that its node must have."""
    tolerations: Annotated[list[Toleration], Field(max_length=16)] = []
    """Taints that its node may have."""
    runtime_class_name: ObjectName | None = None
    """A RuntimeClass, for example a sandbox."""
    queue_name: ObjectName | None = None
    """A queue of Kueue."""
    priority_class_name: ObjectName | None = None
    """A PriorityClass."""
    grace_period_seconds: Annotated[int, Field(ge=0, le=3600)] = 10
    """Between SIGTERM and SIGKILL."""
    max_artifact_bytes: Annotated[int, Field(ge=1, le=2**50)] = 2**30
    """What a run may leave in $RLOOP_ARTIFACTS, in bytes."""
    active_deadline_seconds: Seconds = 3600
    """Wall time of one attempt."""
    pending_deadline_seconds: Seconds = 600
    """How long an attempt may wait for its pods to start."""
    progress_deadline_seconds: Seconds | None = None
    """The hang rule: an attempt whose step counter stands still for so long is ended and tried again."""
    preflight: Command | None = None
    """Run first, in the same place and with the same files: what it refuses (an exit code other than 0) has failed
    without another try, and no rank has started.
    """
    cpu_seconds: Seconds | None = None
    """CPU time of one attempt, summed over its process tree; handed to it as RLOOP_CPU_SECONDS."""
    backoff_limit: Annotated[int, Field(ge=0, le=10)] = 2
    """Failed attempts of one run that are tried again. Preemption and lost nodes do not count."""

    @property
    def gpus(self) -> int:
        """GPUs that all pods of one attempt hold together."""
        pods = self.py_torch_job.replicas if self.py_torch_job is not None else 1
        return pods * self.resources.gpus

    @model_validator(mode="after")
    def _one_runtime(self) -> Self:
        exactly_one(self, "job", "py_torch_job", "train_job", not_built=("train_job",))
        return self


class Workspace(Model):
    """The volume that holds artifacts, checkpoints, transcripts and logs."""

    size: Quantity = "10Gi"
    """Of the claim that the operator makes."""
    storage_class_name: ObjectName | None = None
    """Absent: the cluster's default."""
    access_mode: Literal["ReadWriteOnce", "ReadWriteMany"] = "ReadWriteOnce"
    """ReadWriteOnce keeps all pods of the loop on one node."""
    retention: Literal["Delete", "Retain"] = "Retain"
    """Whether the claim outlives the loop."""
