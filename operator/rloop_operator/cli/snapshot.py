"""The campaign at one moment, wherever it was read from: what all tables and boards are made of.

Made by the sources (a run folder, a cluster) and by the running campaign's own view. It imports nothing that decides
(`rloop.decide` brings scipy along): `rloop status` must answer at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from functools import cached_property

from rloop import standing
from rloop.api.experiment import ResearchExperiment
from rloop.api.iteration import ResearchIteration
from rloop.api.researchloop import ResearchLoop
from rloop.errors import NotFound
from rloop_operator.cli.words import short

NEAR = 5
"""Names that are offered instead of one that is not there."""
CHILD = re.compile(r"(b\d{2,}|i\d{4,})(-[adefrsv]\d+)*")
"""What follows a campaign's name in the name of one of its objects: `i0004-e2-r1`. The letters are those of
`rloop.names`, so that `kuhn-b01-b01` is an object of `kuhn-b01` and not of `kuhn`.
"""


@dataclass(frozen=True)
class Snapshot:
    """The campaign as it stood at one moment. What is derived from all of its objects is made once: rows ask for it."""

    loop: ResearchLoop
    iterations: Mapping[str, ResearchIteration]
    experiments: Mapping[str, ResearchExperiment]
    now: datetime
    """When no operator is alive: when it last was, because nothing has happened since."""
    live: frozenset[str] | None = None
    """Workloads that go on though no operator is alive; None: one is, or it cannot be told."""
    by_request: bool | None = None
    """Whether `rloop suspend` holds it, whatever its manifest says; None in a cluster, where both are one field."""

    @property
    def name(self) -> str:
        """The campaign's name."""
        return self.loop.metadata.name

    @property
    def iteration(self) -> int:
        """The number of the newest iteration."""
        return standing.newest(self.iterations)

    @cached_property
    def base_frame(self) -> Mapping[str, str]:
        """The frame that others are compared with: the first direction's."""
        tried = standing.directions(self.iterations)
        return tried[0].frame if tried else {}

    @cached_property
    def by_iteration(self) -> Mapping[int, list[ResearchExperiment]]:
        """The experiments of each iteration, in order of their proposal."""
        found: dict[int, list[ResearchExperiment]] = {}
        for one in self.ordered():
            found.setdefault(one.spec.iteration, []).append(one)
        return found

    @cached_property
    def by_direction(self) -> Mapping[str, list[ResearchExperiment]]:
        """The experiments of each direction."""
        found: dict[str, list[ResearchExperiment]] = {}
        for one in self.experiments.values():
            if one.spec.direction is not None:
                found.setdefault(one.spec.direction, []).append(one)
        return found

    @property
    def noise(self) -> float:
        """How far two values may differ by chance: the digits of all values follow it."""
        return standing.noise(self.loop.spec, self.loop.status)

    @property
    def active_seconds(self) -> float:
        """How long the campaign has been active, to this moment."""
        return standing.active_seconds(self.loop.status.clock, self.now)

    @property
    def suspended(self) -> bool:
        """Whether that is asked for; without an operator nobody has carried it out yet."""
        return self.loop.spec.suspend and not standing.finished(self.loop)

    def ordered(self) -> list[ResearchExperiment]:
        """All experiments in order of their proposal, the baseline first."""
        return sorted(self.experiments.values(), key=place)

    def short(self, name: str) -> str:
        """A name without the campaign's own."""
        return short(name, self.name)


def place(experiment: ResearchExperiment) -> tuple[int, str, int]:
    """The order of proposal."""
    return experiment.spec.iteration, experiment.spec.session or "", experiment.spec.sequence


def full_name(name: str, names: Mapping[str, object], loop: str, noun: str) -> str:
    """The one of `names` that `name` stands for, with or without the campaign's own name before it.

    Raises NotFound with the names that are near.
    """
    for wanted in (name, f"{loop}-{name}"):
        if wanted in names:
            return wanted
    raise NotFound(f'there is no {noun} "{name}"{near(name, names, loop)}')


def near(name: str, names: Mapping[str, object], loop: str) -> str:
    """`; did you mean …`, or the last ones that there are."""
    shorts = [short(one, loop) for one in names]
    close = get_close_matches(short(name, loop), shorts, n=NEAR, cutoff=0.5)
    if close:
        return f"; did you mean {', '.join(close)}?"
    return f"; the last ones are {', '.join(shorts[-NEAR:])}" if shorts else "; there is none yet"


def within(name: str, loops: Iterable[str]) -> tuple[str, str | None] | None:
    """Which of `loops` a name stands for, or stands in, and what remains of it; None if it tells no loop.

    `kuhn` is the campaign, `kuhn-i0004-e2` something of it.
    """
    known = list(loops)
    if name in known:
        return name, None
    for loop in known:
        if name.startswith(f"{loop}-") and CHILD.fullmatch(name.removeprefix(f"{loop}-")):
            return loop, name.removeprefix(f"{loop}-")
    return None
