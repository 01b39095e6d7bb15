"""The policies by the name that a loop's spec gives them.

Read by `__main__` and by simulations. A policy is a pure function; adding one is a file, its twin test and a
line.
"""

from __future__ import annotations

from rloop_agent import coordinate_search, random_search
from rloop_agent.ground import Policy

POLICIES: dict[str, Policy] = {
    "random-search": random_search.propose,
    "coordinate-search": coordinate_search.propose,
}
