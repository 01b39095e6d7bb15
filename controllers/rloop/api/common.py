"""Building blocks that the three kinds share: bounded scalar types, metadata and conditions.

Called by every module of `rloop.api`. Apart because a bound is a promise that must read the same in
the model, in the generated CRD and in the error that a user sees.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel

GROUP: Final = "rloop.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = "rloop.dev/v1alpha1"

DECIMAL_PATTERN = r"^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]{1,2})?$"
"""An exponent of two digits at most: with the length's bound no such text is ever read as infinity."""
AMOUNT_PATTERN = DECIMAL_PATTERN.replace("-?", "", 1)
DNS_LABEL_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DNS_SUBDOMAIN_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
METRIC_PATTERN = r"^[A-Za-z_][A-Za-z0-9_.-]*$"
QUANTITY_PATTERN = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$"
SHA256_PATTERN = r"^[0-9a-f]{64}$"

FILE_BYTES = 512 * 1024
"""All changed files of one experiment together."""
StructuralField = Literal["hypothesis", "method", "data", "representation", "objective"]
"""What a direction says, part by part."""

LOOP_NAME_MAX = 40
"""So that no child's name is ever truncated (63 is Kubernetes' limit for labels)."""


class Model(BaseModel):
    """A frozen, strict model with camelCase names outside and snake_case names inside.

    Strict: `"5"` is no integer and `5` is no string, exactly as the API server's structural schema has it.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        extra="forbid",
        frozen=True,
        strict=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )

    def changed(self, **changes: Any) -> Self:
        """A copy with these fields changed. They are not validated, but mypy checks their names and types."""
        return self.model_copy(update=changes)


def cel(*rules: tuple[str, str] | tuple[str, str, str]) -> ConfigDict:
    """A model's cross-field rules for the API server: (rule, message) or (rule, message, field).

    They are in the model next to the Python validator of the same rule, which a test
    enforces, and are read by `rloop.crd.definitions`. A rule may use a field with a default without has().
    """
    keys = ("rule", "message", "fieldPath")
    return ConfigDict(
        json_schema_extra={"x-kubernetes-validations": [dict(zip(keys, rule, strict=False)) for rule in rules]}
    )


IMMUTABLE = ("self == oldSelf", "the spec never changes once it is written")


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


Time = Annotated[datetime, Field(strict=False), PlainSerializer(_rfc3339, when_used="json")]
"""A moment in UTC; RFC 3339 with microseconds on the wire (Kubernetes' MicroTime)."""

Decimal = Annotated[str, Field(pattern=DECIMAL_PATTERN, min_length=1, max_length=32)]
"""A decimal number as a string: YAML and JSON floats do not survive a round trip (`1e-6` is text in YAML)."""
Amount = Annotated[str, Field(pattern=AMOUNT_PATTERN, min_length=1, max_length=32)]
"""A decimal that is not negative."""

DnsLabel = Annotated[str, Field(pattern=DNS_LABEL_PATTERN, min_length=1, max_length=63)]
ObjectName = Annotated[str, Field(pattern=DNS_SUBDOMAIN_PATTERN, min_length=1, max_length=253)]
MetricName = Annotated[str, Field(pattern=METRIC_PATTERN, min_length=1, max_length=63)]
Quantity = Annotated[
    str,
    Field(
        pattern=QUANTITY_PATTERN,
        min_length=1,
        max_length=32,
        json_schema_extra={"x-kubernetes-int-or-string": True, "minimum": 0},
    ),
    BeforeValidator(lambda value: str(value) if type(value) is int else value),
]
"""An amount as Kubernetes writes it, `500m` or `4Gi`; a plain number needs no quotes, as in a pod."""
Sha256 = Annotated[str, Field(pattern=SHA256_PATTERN, max_length=64)]
Path = Annotated[str, Field(min_length=1, max_length=1024)]
Glob = Annotated[str, Field(min_length=1, max_length=256)]
"""A glob relative to the task's folder; `**` crosses folders. No `/` at its start, no part `..`."""
Word = Annotated[str, Field(min_length=1, max_length=63)]
Line = Annotated[str, Field(max_length=1024)]
Text = Annotated[str, Field(max_length=16384)]
Argument = Annotated[str, Field(max_length=4096)]
Command = Annotated[list[Argument], Field(min_length=1, max_length=64)]
Seconds = Annotated[int, Field(ge=1, le=31_536_000)]
Count = Annotated[int, Field(ge=0, le=1_000_000_000)]
Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]
"""A seed fits into 31 bits, because that is what every random generator in every language accepts."""
FrameValues = Annotated[dict[Word, Annotated[str, Field(max_length=256)]], Field(max_length=32)]
"""Structural dimension -> value as text."""
PointValues = Annotated[dict[Word, Annotated[str, Field(max_length=256)]], Field(max_length=128)]
"""Dimension of a space.yaml -> value as text."""
Labels = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=317)], Annotated[str, Field(max_length=63)]],
    Field(max_length=16),
]
"""Labels as Kubernetes has them: prefix/name -> value."""


class OwnerReference(Model):
    """Kubernetes' own reference from a child to the object that owns it."""

    api_version: Word
    kind: Word
    name: ObjectName
    uid: Word
    controller: bool = True
    block_owner_deletion: bool = True


class ObjectMeta(Model):
    """The part of Kubernetes' metadata that is read or written here; other keys are kept out, not refused."""

    model_config = ConfigDict(extra="ignore")

    name: ObjectName
    namespace: DnsLabel = "default"
    uid: Annotated[str, Field(max_length=63)] = ""
    resource_version: Annotated[str, Field(max_length=63)] = ""
    generation: Count = 1
    creation_timestamp: Time | None = None
    deletion_timestamp: Time | None = None
    labels: Annotated[dict[str, str], Field(max_length=64)] = {}
    annotations: Annotated[dict[str, str], Field(max_length=64)] = {}
    owner_references: Annotated[list[OwnerReference], Field(max_length=8)] = []


ConditionStatus = Literal["True", "False", "Unknown"]


class Condition(Model):
    """One fact about an object, in Kubernetes' shape. `lastTransitionTime` moves only when `status` does."""

    type: Word
    """Type of the condition."""
    status: ConditionStatus
    """Status: True, False or Unknown."""
    reason: Word
    """Reason in CamelCase, for programs."""
    message: Annotated[str, Field(max_length=4096)] = ""
    """Message for people, with the remedy if there is one."""
    last_transition_time: Time
    """Time of the last change of `status`."""
    observed_generation: Count = 0
    """Generation of the spec that it refers to."""


class Resources(Model):
    """Compute resources of one container, as Kubernetes writes them."""

    requests: Annotated[dict[Word, Quantity], Field(max_length=16)] = {}
    """Requested resources: cpu, memory, nvidia.com/gpu."""
    limits: Annotated[dict[Word, Quantity], Field(max_length=16)] = {}
    """Resource limits."""

    @property
    def gpus(self) -> int:
        """GPUs, or slices of them, that the container holds; `admit.loop` refuses what is no whole number."""
        asked = {**self.requests, **self.limits}
        of_gpus = (number for name, number in asked.items() if "gpu" in name or "/mig-" in name)
        return sum(int(number) for number in of_gpus if number.isdigit())

    @property
    def cpus(self) -> int:
        """Whole CPUs of the container, at least 1; 1 if unset."""
        asked = self.limits.get("cpu") or self.requests.get("cpu") or "1"
        number = float(asked[:-1]) / 1000 if asked.endswith("m") else float(asked) if asked[-1].isdigit() else 1.0
        return max(1, math.floor(number))


def no_name_of_ours(name: str) -> str:
    """The name of an environment variable. Raises ValueError if the loop sets it itself."""
    if name.startswith("RLOOP_"):
        message = f"names that start with RLOOP_ are reserved; rename {name}"
        raise ValueError(message)
    return name
