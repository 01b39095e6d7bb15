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
    no_name_of_ours,
)

ENV_NAME_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"


def exactly_one(model: Model, *names: str, not_built: Collection[str] = ()) -> None:
    """Raise ValueError unless exactly one of `names` (snake_case) is set; its message leaves out `not_built`."""
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
    """ConfigMap in the loop's namespace. It is read once, when the loop is accepted."""
    items: Annotated[dict[Annotated[str, Field(min_length=1, max_length=253)], Path], Field(max_length=512)] = {}
    """Path in the folder for each key. Empty: each key is a file of that name."""


class GitSource(Model):
    """A git repository. A Job fetches it once, when the loop is accepted. Not supported yet."""

    url: Annotated[str, Field(min_length=1, max_length=2048)]
    """Repository URL, https or ssh."""
    ref: Annotated[str, Field(min_length=1, max_length=256)]
    """Branch, tag or commit; resolved to a commit when the loop is accepted."""
    secret_ref: ObjectName | None = None
    """Secret with the credentials."""


class ImageSource(Model):
    """A folder in a container image, for tasks above 900 KiB. Not supported yet."""

    reference: Annotated[str, Field(min_length=1, max_length=512)]
    """Image reference, with a digest or a tag."""
    path: Path
    """Folder in the image."""


class TaskSource(Model):
    """Source of the task's files: exactly one of `path`, `configMap`."""

    model_config = cel(one_of("path", "configMap", "git", "image", not_built=("git", "image")))

    path: Path | None = None
    """Folder relative to the manifest; only for `rloop run` and `rloop pack`."""
    config_map: ConfigMapFiles | None = None
    """Files in a ConfigMap, up to 900 KiB in total."""
    git: GitSource | None = None
    image: ImageSource | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        exactly_one(self, "path", "config_map", "git", "image", not_built=("git", "image"))
        return self


class FolderSource(Model):
    """Source of the files: exactly one of `path`, `configMap`."""

    model_config = cel(one_of("path", "configMap"))

    path: Path | None = None
    """Folder relative to the manifest; only for `rloop run` and `rloop pack`."""
    config_map: ConfigMapFiles | None = None
    """Files in a ConfigMap, up to 900 KiB in total."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        exactly_one(self, "path", "config_map")
        return self


class CodeSource(FolderSource):
    """Source of the scorer's code: exactly one of `path`, `configMap`."""


class HeldOut(Model):
    """Data that only the verifier sees: exactly one of `path`, `secret`, `configMap`, `persistentVolumeClaim`."""

    model_config = cel(one_of("path", "secret", "configMap", "persistentVolumeClaim"))

    path: Path | None = None
    """Folder relative to the manifest; only for `rloop run` and `rloop pack`."""
    secret: ObjectName | None = None
    """Secret whose keys become files in $RLOOP_HELD_OUT."""
    config_map: ObjectName | None = None
    """A ConfigMap; each key is a file."""
    persistent_volume_claim: ObjectName | None = None
    """A PersistentVolumeClaim, mounted read-only."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        exactly_one(self, "path", "secret", "config_map", "persistent_volume_claim")
        return self


class Volume(Model):
    """A read-only volume: exactly one of `persistentVolumeClaim`, `configMap`, `hostPath`, `path`."""

    model_config = cel(one_of("persistentVolumeClaim", "configMap", "hostPath", "path"))

    name: DnsLabel
    """Name of the volume."""
    mount_path: Path
    """Mount path in the container."""
    persistent_volume_claim: ObjectName | None = None
    """A PersistentVolumeClaim, mounted read-only."""
    config_map: ObjectName | None = None
    """A ConfigMap; each key is a file."""
    host_path: Path | None = None
    """Folder on the node. The namespace's Pod Security level must allow it."""
    path: Path | None = None
    """Folder relative to the manifest; only for `rloop run` and `rloop pack`."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        exactly_one(self, "persistent_volume_claim", "config_map", "host_path", "path")
        return self


class Toleration(Model):
    """A Kubernetes toleration."""

    key: Line | None = None
    """Key of the taint."""
    operator: Literal["Exists", "Equal"] = "Equal"
    """Exists matches the key only; Equal matches key and value."""
    value: Line | None = None
    """Value of the taint, with operator Equal."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint. Unset: any effect."""
    toleration_seconds: Count | None = None
    """Seconds that the pod stays on the node after a NoExecute taint. Unset: no limit."""


class EnvVar(Model):
    """An environment variable. Names that start with RLOOP_ are reserved."""

    model_config = cel(("!self.name.startsWith('RLOOP_')", "names that start with RLOOP_ are reserved", ".name"))

    name: Annotated[str, Field(pattern=ENV_NAME_PATTERN, min_length=1, max_length=128)]
    """Name: letters, digits and _."""
    value: Argument
    """Value in plain text. Secrets are not supported here."""

    _not_ours = field_validator("name")(no_name_of_ours)


class Job(Model):
    """A batch/v1 Job with one process. It has no options."""


class PyTorchJob(Model):
    """A Kubeflow PyTorchJob of equal workers, with the environment of torchrun."""

    replicas: Annotated[int, Field(ge=1, le=1024)] = 1
    """Number of pods (default 1)."""
    proc_per_node: Annotated[int, Field(ge=1, le=64)] = 1
    """Processes (ranks) per pod (default 1)."""

    @property
    def ranks(self) -> int:
        """Processes of one attempt."""
        return self.replicas * self.proc_per_node


class TrainJob(Model):
    """A Kubeflow Trainer v2 TrainJob. Not supported yet."""

    runtime_ref: ObjectName
    """Name of a ClusterTrainingRuntime."""


class ExperimentTemplate(Model):
    """How one run of an experiment is executed. Exactly one of `job`, `pyTorchJob`."""

    model_config = cel(one_of("job", "pyTorchJob", "trainJob", not_built=("trainJob",)))

    job: Job | None = None
    """A batch/v1 Job with one process: `job: {}`."""
    py_torch_job: PyTorchJob | None = None
    train_job: TrainJob | None = None
    image: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    """Container image. Required in a cluster; `rloop run` uses the programs of the machine."""
    image_pull_secrets: Annotated[list[ObjectName], Field(max_length=8)] = []
    """Secrets with registry credentials."""
    command: Command
    """Command of a run, in a fresh copy of the task with the experiment's files."""
    env: Annotated[list[EnvVar], Field(max_length=64)] = []
    """Environment variables, in addition to the RLOOP_* variables of the task contract."""
    resources: Resources = Resources()
    """Compute resources of the container that runs `command`."""
    volumes: Annotated[list[Volume], Field(max_length=16)] = []
    """Read-only volumes, for data that is too large for the task."""
    node_selector: Labels = {}
    """Labels that the node must have."""
    tolerations: Annotated[list[Toleration], Field(max_length=16)] = []
    """Taints of nodes that the pods tolerate."""
    runtime_class_name: ObjectName | None = None
    """RuntimeClass of the pods, for example a sandbox."""
    queue_name: ObjectName | None = None
    """Kueue LocalQueue of the runs."""
    priority_class_name: ObjectName | None = None
    """PriorityClass of the pods."""
    grace_period_seconds: Annotated[int, Field(ge=0, le=3600)] = 10
    """Seconds between SIGTERM and SIGKILL (default 10)."""
    max_artifact_bytes: Annotated[int, Field(ge=1, le=2**50)] = 2**30
    """Maximum size of $RLOOP_ARTIFACTS after a run, in bytes (default 1 GiB)."""
    active_deadline_seconds: Seconds = 3600
    """Maximum seconds of one attempt (default 3600)."""
    pending_deadline_seconds: Seconds = 600
    """Maximum seconds until the pods of an attempt have started (default 600)."""
    progress_deadline_seconds: Seconds | None = None
    """Seconds without a new step after which an attempt counts as hung and is repeated. Unset: no limit."""
    preflight: Command | None = None
    """Command that runs before `command`, in the same container and files. If its exit code is not 0, the run fails
    without a retry, and no rank is started.
    """
    cpu_seconds: Seconds | None = None
    """Maximum CPU seconds of one attempt's process tree; passed to it as RLOOP_CPU_SECONDS. Unset: no limit."""
    backoff_limit: Annotated[int, Field(ge=0, le=10)] = 2
    """Retries of a failed attempt (default 2). Preemption and lost nodes do not count."""

    @property
    def gpus(self) -> int:
        """GPUs that all pods of one attempt hold together."""
        pods = self.py_torch_job.replicas if self.py_torch_job is not None else 1
        return pods * self.resources.gpus

    @property
    def threads(self) -> int:
        """Threads for each process of a run: the CPUs of its pod, shared by the pod's ranks."""
        ranks = self.py_torch_job.proc_per_node if self.py_torch_job is not None else 1
        return max(1, self.resources.cpus // ranks)

    @model_validator(mode="after")
    def _one_runtime(self) -> Self:
        exactly_one(self, "job", "py_torch_job", "train_job", not_built=("train_job",))
        return self


class Workspace(Model):
    """The volume for artifacts, checkpoints, transcripts and logs."""

    size: Quantity = "10Gi"
    """Size of the PersistentVolumeClaim (default 10Gi)."""
    storage_class_name: ObjectName | None = None
    """StorageClass. Unset: the default of the cluster."""
    access_mode: Literal["ReadWriteOnce", "ReadWriteMany"] = "ReadWriteOnce"
    """Access mode. ReadWriteOnce keeps all pods of the loop on one node."""
    retention: Literal["Delete", "Retain"] = "Retain"
    """Whether the claim is deleted with the loop (default Retain)."""
