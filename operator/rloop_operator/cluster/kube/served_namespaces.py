"""The namespaces that an operator serves, as published on its Lease.

Written by the operator, read by the guard and by `rloop status`: only the operator knows which namespaces it can reach.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rloop import names

EVERYWHERE = "*"


@dataclass(frozen=True, slots=True)
class Served:
    """The namespaces that an operator serves, and those that it should serve but cannot."""

    namespaces: Sequence[str]
    failing: Mapping[str, str]
    """Watched namespaces that it cannot serve, with the reason."""

    def serves(self, namespace: str) -> bool:
        """Whether it serves this namespace."""
        return namespace in self.namespaces or EVERYWHERE in self.namespaces

    def text(self) -> str:
        """The value of the annotation."""
        return json.dumps({"served": list(self.namespaces), "failing": dict(self.failing)}, sort_keys=True)


def read(lease: Mapping[str, Any]) -> Served | None:
    """The value on an operator's Lease; None if it is missing or invalid."""
    try:
        found = json.loads(lease["metadata"].get("annotations", {})[names.ANNOTATION_NAMESPACES])
        return Served(tuple(found["served"]), dict(found["failing"]))
    except (KeyError, TypeError, ValueError):
        return None
