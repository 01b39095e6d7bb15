"""The policies by their names in a loop's spec.

Read by `__main__` and by simulations. A policy is a pure function; AGENTS.md lists what a new one
needs.
"""

from __future__ import annotations

from rloop_agent.policies import cma_es, coordinate_search, random_search, tpe
from rloop_agent.policies.ground import Policy

POLICIES: dict[str, Policy] = {
    "random-search": random_search.propose,
    "coordinate-search": coordinate_search.propose,
    "tpe": tpe.propose,
    "cma-es": cma_es.propose,
}
