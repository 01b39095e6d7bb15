"""The state of a campaign at one moment, read from any source; the input of all tables and boards.

Created by the sources (a run folder, a cluster) and by the view of a running campaign. It does not import
`rloop.decide`, which would load scipy, because `rloop status` must be fast.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from functools import cached_property

from rloop import campaign_state
from rloop.api.experiment import ResearchExperiment
from rloop.api.iteration import ResearchIteration
from rloop.api.researchloop import ResearchLoop
from rloop.errors import NotFound
from rloop_operator.cli.terminal.words import short

NEAR = 5
"""Maximum number of names that are suggested for an unknown one."""
CHILD = re.compile(r"(b\d{2,}|i\d{4,})(-[adefrsv]\d+)*")
"""The part of an object's name after the campaign's name, for example `i0004-e2-r1`. The letters are those of
`rloop.names`, so that `kuhn-b01-b01` is an object of `kuhn-b01` and not of `kuhn`.
"""


@dataclass(frozen=True)
class Snapshot:
    """The campaign at one moment. Values derived from all of its objects are cached, because every row uses them."""

    loop: ResearchLoop
    iterations: Mapping[str, ResearchIteration]
    experiments: Mapping[str, ResearchExperiment]
    now: datetime
    """The current time; without a live operator the time when one was last alive, as nothing has happened since."""
    live: frozenset[str] | None = None
    """Workloads that continue without a live operator; None if an operator is alive or this is unknown."""
    by_request: bool | None = None
    """Whether `rloop suspend` suspends it, regardless of its manifest; None in a cluster, where both set one field."""

    @property
    def name(self) -> str:
        """The campaign's name."""
        return self.loop.metadata.name

    @property
    def iteration(self) -> int:
        """The number of the newest iteration."""
        return campaign_state.newest(self.iterations)

    @cached_property
    def base_frame(self) -> Mapping[str, str]:
        """The frame of the first direction, with which other frames are compared."""
        tried = campaign_state.directions(self.iterations)
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
        """The difference of two values that may occur by chance; determines the digits of all printed values."""
        return campaign_state.noise(self.loop.spec, self.loop.status)

    @property
    def active_seconds(self) -> float:
        """Seconds for which the campaign has been active until this moment."""
        return campaign_state.active_seconds(self.loop.status.clock, self.now)

    @property
    def suspended(self) -> bool:
        """Whether a suspension is requested. Without an operator it has not been carried out yet."""
        return self.loop.spec.suspend and not campaign_state.finished(self.loop)

    def ordered(self) -> list[ResearchExperiment]:
        """All experiments in order of their proposal, the baseline first."""
        return sorted(self.experiments.values(), key=place)

    def short(self, name: str) -> str:
        """A name without the campaign's own."""
        return short(name, self.name)


def place(experiment: ResearchExperiment) -> tuple[int, str, int]:
    """Sort key for the order of proposal."""
    return experiment.spec.iteration, experiment.spec.session or "", experiment.spec.sequence


def full_name(name: str, names: Mapping[str, object], loop: str, noun: str) -> str:
    """The full name in `names` for `name`, which may lack the campaign's name as a prefix.

    Raises NotFound with similar names.
    """
    for wanted in (name, f"{loop}-{name}"):
        if wanted in names:
            return wanted
    raise NotFound(f'there is no {noun} "{name}"{near(name, names, loop)}')


def near(name: str, names: Mapping[str, object], loop: str) -> str:
    """The end of a message about an unknown name: `; did you mean …`, or the last existing names.

    The name may also be a misspelt one of the campaign.
    """
    shorts = [short(one, loop) for one in names]
    close = get_close_matches(short(name, loop), shorts, n=NEAR, cutoff=0.5) or get_close_matches(name, [loop], n=1)
    if close:
        return f"; did you mean {', '.join(close)}?"
    return f"; the last ones are {', '.join(shorts[-NEAR:])}" if shorts else "; there is none yet"


def within(name: str, loops: Iterable[str]) -> tuple[str, str | None] | None:
    """The one of `loops` that a name refers to and, for an object in it, the rest of the name; None if no loop matches.

    `kuhn` is a campaign, `kuhn-i0004-e2` an object in it.
    """
    known = list(loops)
    if name in known:
        return name, None
    for loop in known:
        if name.startswith(f"{loop}-") and CHILD.fullmatch(name.removeprefix(f"{loop}-")):
            return loop, name.removeprefix(f"{loop}-")
    return None
