"""Waiting until the API server serves kinds that it was just told of.

Called by whoever applies definitions: the harness for the training operator's, the tests for ours.
"""

import json
from collections.abc import Callable
from typing import Any

from tests.cluster.harness.shell import wait


def wait_for_definitions(kubectl: Callable[..., str], *which: str) -> None:
    """Wait until all of them are established; `which` is what `kubectl get` takes.

    `kubectl wait` will not do: it fails where a definition has no condition yet at all.
    """

    def established() -> bool:
        found = json.loads(kubectl("get", *which, "-o", "json"))
        return all(map(_is_established, found.get("items", [found])))

    wait(f"the definitions {' '.join(which)}", established, seconds=30, every=0.5)


def _is_established(definition: dict[str, Any]) -> bool:
    conditions = definition.get("status", {}).get("conditions") or []
    return any((one["type"], one["status"]) == ("Established", "True") for one in conditions)
