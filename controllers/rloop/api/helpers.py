"""What the programs of ours beside a workload are told, and what they answer: init container, relay and verifier.

Used by their images, and by the shells that start them. Apart from `wire`, because each run starts three of them, and
the models of a whole campaign take longer to load than all that they do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import Field

from rloop.api import curves
from rloop.api.common import Count, Line, MetricName, Model, Path, Seed, Sha256, Word
from rloop.api.curves import LARGEST, MAX_CURVES, MAX_POINTS

ALREADY_RAN = "AlreadyRan"
"""Begins the termination message of an init container that `UnpackJob.once` refused."""
ARTIFACT_MISSING = "ArtifactMissing"
"""Begins its message where the run's folder of artifacts does not exist."""
VERDICT_BYTES = 4096
"""A verdict is a termination message, which Kubernetes cuts at this size."""
MAX_CLAIMS = 32

Measured = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
"""A number that somebody measured. Means and variances of larger ones overflow, and NaN has no place in JSON."""
Count53 = Annotated[int, Field(ge=0, le=2**53 - 1)]
"""Bytes, and steps that may be tokens. The API server compares in floating point: a larger bound overflows there."""


class Check(Model):
    """One check of the verdict; a failed one makes the experiment Invalid, whatever the metric."""

    name: Line
    """Name of the check."""
    passed: bool
    """Whether the check passed."""
    detail: Line = ""
    """Explanation by the scorer, for people."""


class Verdict(Model):
    """What a verifier writes to $RLOOP_VERDICT."""

    metrics: Annotated[dict[MetricName, Measured], Field(max_length=32)] = {}
    """Empty where a check failed and there is nothing to measure."""
    checks: Annotated[list[Check], Field(max_length=32)] = []


class VerifierReport(Model):
    """What the verifier's process leaves as its termination message: a verdict, or the reason why there is none."""

    verdict: Verdict | None = None
    reason: Word | None = None
    message: Line = ""
    infrastructure: bool = False


class VerifierJob(Model):
    """What the verifier's process is told; a JSON document in the environment variable RLOOP_VERIFIER_JOB."""

    command: list[str]
    code: Path
    """Folder with the evaluation's sealed code."""
    code_sha256: Sha256
    artifacts: Path
    held_out: Path | None = None
    held_out_sha256: Sha256 | None = None
    incumbent_artifacts: Path | None = None
    seed: Seed
    timeout_seconds: Count
    report: Path
    """File that gets the VerifierReport."""


class UnpackArchive(Model):
    """A tar.gz of regular files, and what they have to be."""

    path: Path
    sha256: Sha256 | None = None
    """Manifest digest of the archive's own files (`rloop.api.digest`); null: not checked."""


class UnpackCopy(Model):
    """A tree of which a copy is made: regular files only."""

    from_: Annotated[Path, Field(alias="from")]
    to: Path
    max_bytes: Count53
    sha256: Sha256 | None = None
    """Manifest digest that the copy must have; null: not checked."""


class UnpackJob(Model):
    """What an init container lays out; a JSON document in the environment variable RLOOP_UNPACK."""

    archives: Annotated[list[UnpackArchive], Field(max_length=8)] = []
    """Unpacked into the target one over the other: a later file takes the place of an earlier one."""
    target: Path
    copy_: Annotated[UnpackCopy | None, Field(alias="copy")] = None
    empty: Annotated[list[Path], Field(max_length=16)] = []
    """Folders whose content is removed first: what an earlier attempt left there. All workers of an attempt share
    them, so only the first one does it.
    """
    make: Annotated[list[Path], Field(max_length=16)] = []
    """Folders to create."""
    once: Path | None = None
    """Beginning of a file's path, to which the worker's number is added. The first pod that comes by writes its uid
    there, and any other is refused: a pod made anew must not run an attempt again that has begun.
    """


class UnpackReport(Model):
    """The termination message of an init container that has done its job."""

    copied: Sha256 | None = None
    """Manifest digest of the copy; null: nothing was to be copied."""


class Curve(Model):
    """A metric that a run reported per step: a sample of its points, including the first and the latest."""

    metric: MetricName
    """Name of the metric."""
    steps: Annotated[list[Count53], Field(max_length=MAX_POINTS)]
    """Steps of the points, ascending."""
    values: Annotated[list[float], Field(max_length=MAX_POINTS)]
    """Values of the points, one per step."""


def curves_of(points: Mapping[str, Sequence[tuple[int, float]]]) -> list[Curve]:
    """Curves, made of the points of `rloop.api.curves`."""
    return [
        Curve(metric=name, steps=[step for step, _ in found], values=[value for _, value in found])
        for name, found in points.items()
    ]


def joined(earlier: Sequence[Curve], later: Sequence[Curve]) -> list[Curve]:
    """The curves of a run that went on in a later attempt."""
    return curves_of(curves.joined(_points(earlier), _points(later)))


def _points(found: Sequence[Curve]) -> dict[str, list[tuple[int, float]]]:
    return {one.metric: list(zip(one.steps, one.values, strict=False)) for one in found}


class ProgressRequest(Model):
    """How far a run has come, relayed by the sidecar of its pod."""

    run: Annotated[int, Field(ge=1, le=1000)]
    """Number of the run."""
    attempt: Annotated[int, Field(ge=1, le=1000)]
    """Number of the attempt."""
    step: Count53 | None = None
    """The newest step in progress.jsonl."""
    claims: Annotated[dict[MetricName, Measured], Field(max_length=MAX_CLAIMS)] = {}
    """What the run believes of itself (claims.json). Shown beside the verified value, and never scored."""
    curves: Annotated[list[Curve], Field(max_length=MAX_CURVES)] = []
    """The numbers in progress.jsonl. Likewise."""
