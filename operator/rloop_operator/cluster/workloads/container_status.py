"""Reads the container statuses of a pod: exit codes, messages, what our init container rejected or copied.

Called by `outcome`, which derives how the whole workload ended. Pure functions.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from rloop.api.helpers import ALREADY_RAN, UnpackReport

Manifest = dict[str, Any]
TAIL = 3072
REFUSED = 3
"""Exit code of our init container if the files are at fault, not the machine."""
NOT_THERE = re.compile(r"not found|no such file", re.IGNORECASE)
NOT_BEGUN = frozenset({"StartError", "ContainerCannotRun"})
"""Reasons of a container whose program could not be executed; its message then comes from the container runtime."""


def copied(pod: Manifest | None) -> str | None:
    """Digest of the artifact that our init container copied for a scoring; None if it copied nothing."""
    for one in (pod or {}).get("status", {}).get("initContainerStatuses", []):
        terminated = one.get("state", {}).get("terminated", {})
        if one["name"] == "unpack" and terminated.get("exitCode") == 0 and terminated.get("message"):
            with suppress(ValidationError):  # written by another version
                return UnpackReport.model_validate_json(terminated["message"]).copied
    return None


def code(terminated: Manifest) -> int | None:
    """The exit code. If the program could not be executed, that of a shell (127 or 126), whatever the runtime says."""
    code: int | None = terminated.get("exitCode")
    if terminated.get("reason") not in NOT_BEGUN:
        return code
    why = str(terminated.get("message", ""))
    return 127 if NOT_THERE.search(why) else 126 if "permission denied" in why.lower() else code


def init_failure(pod: Manifest | None, name: str = "") -> Manifest:
    """The termination of a failed init container (the one named, or any); {} if none failed."""
    for one in (pod or {}).get("status", {}).get("initContainerStatuses", []):
        found: Manifest = one.get("state", {}).get("terminated", {})
        # The relay ends after the main container; its exit code does not matter.
        if found.get("exitCode") and name in ("", one["name"]) and one["name"] != "relay":
            return found
    return {}


def refusal(pod: Manifest | None) -> str:
    """The reason that begins our init container's message, the same as that of a local run; otherwise StartFailed."""
    found = init_failure(pod)
    word = re.match(r"[A-Z][A-Za-z]{2,62}(?=: )", str(found.get("message", "")))
    return word[0] if word and found.get("exitCode") == REFUSED else "StartFailed"


def replaced(pod: Manifest) -> bool:
    """Whether a controller created the pod to replace one that had begun."""
    return str(init_failure(pod).get("message", "")).startswith(ALREADY_RAN)


def terminated(pod: Manifest | None) -> Manifest:
    """The termination of the main container; {} if it has not ended."""
    statuses = (pod or {}).get("status", {}).get("containerStatuses", [])
    found: Manifest = statuses[0].get("state", {}).get("terminated", {}) if statuses else {}
    return found


def why(pod: Manifest | None) -> str:
    """The explanation of a pod without a log: the message of a failed init container, of a program that could not be
    executed, or of the pod.
    """
    if refused := init_failure(pod):
        return str(refused.get("message", ""))[-TAIL:]
    if terminated(pod).get("reason") in NOT_BEGUN:
        return str(terminated(pod).get("message", ""))[-TAIL:]
    return str((pod or {}).get("status", {}).get("message", ""))[-TAIL:]
