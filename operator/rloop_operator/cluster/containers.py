"""What the containers of a pod say of themselves: exit codes, messages, what our init container refused or copied.

Called by `outcome`, which says how the whole workload ended. Pure.
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
"""Exit code of our init container where the files are at fault, and not the machine."""
NOT_THERE = re.compile(r"not found|no such file", re.IGNORECASE)
NOT_BEGUN = frozenset({"StartError", "ContainerCannotRun"})
"""Reasons of a container whose program could not be executed; its message is then the runtime's, not its own."""


def copied(pod: Manifest | None) -> str | None:
    """The digest of the artifact that our init container copied for a scoring."""
    for one in (pod or {}).get("status", {}).get("initContainerStatuses", []):
        terminated = one.get("state", {}).get("terminated", {})
        if one["name"] == "unpack" and terminated.get("exitCode") == 0 and terminated.get("message"):
            with suppress(ValidationError):  # another version's
                return UnpackReport.model_validate_json(terminated["message"]).copied
    return None


def code(terminated: Manifest) -> int | None:
    """Its exit code; of a program that could not be executed what a shell would end with, whatever the runtime says."""
    code: int | None = terminated.get("exitCode")
    if terminated.get("reason") not in NOT_BEGUN:
        return code
    why = str(terminated.get("message", ""))
    return 127 if NOT_THERE.search(why) else 126 if "permission denied" in why.lower() else code


def init_failure(pod: Manifest | None, name: str = "") -> Manifest:
    """How an init container failed (this one, or any); {} if none did."""
    for one in (pod or {}).get("status", {}).get("initContainerStatuses", []):
        found: Manifest = one.get("state", {}).get("terminated", {})
        # The relay ends when the main container has, however it likes.
        if found.get("exitCode") and name in ("", one["name"]) and one["name"] != "relay":
            return found
    return {}


def refusal(pod: Manifest | None) -> str:
    """The reason that our init container gives first in its sentence, as a run on a laptop has it."""
    found = init_failure(pod)
    word = re.match(r"[A-Z][A-Za-z]{2,62}(?=: )", str(found.get("message", "")))
    return word[0] if word and found.get("exitCode") == REFUSED else "StartFailed"


def replaced(pod: Manifest) -> bool:
    """Whether a controller made it in the place of one that had begun."""
    return str(init_failure(pod).get("message", "")).startswith(ALREADY_RAN)


def terminated(pod: Manifest | None) -> Manifest:
    """How the main container ended; {} if it never did."""
    statuses = (pod or {}).get("status", {}).get("containerStatuses", [])
    found: Manifest = statuses[0].get("state", {}).get("terminated", {}) if statuses else {}
    return found


def why(pod: Manifest | None) -> str:
    """What the pod says when there is no log: a failed init container's message, or its own."""
    if refused := init_failure(pod):
        return str(refused.get("message", ""))[-TAIL:]
    if terminated(pod).get("reason") in NOT_BEGUN:
        return str(terminated(pod).get("message", ""))[-TAIL:]
    return str((pod or {}).get("status", {}).get("message", ""))[-TAIL:]
