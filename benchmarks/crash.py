"""`python -m benchmarks.crash`: random SIGKILLs over real campaigns; what is lost or doubled, how fast it goes on.

Run by `make bench`. Real processes throughout: `rloop run` on example 01 with a target that cannot be met, so that it
never ends by itself. Every kill hits an agent, a run, a verifier, a shim or rloop itself; only rloop is started again
by us, with the same command. The task writes every start and end of an attempt to a file outside the run folder: the
witness against which the stored rows are held.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

from benchmarks.campaigns.crash import Campaign
from benchmarks.report import Goal, Report, emit

KINDS = ("agent", "run", "verification", "shim", "rloop")
GOAL_SECONDS = 5.0


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--campaigns", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--check", action="store_true", help="exit 1 when a goal is missed")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    victims = [KINDS[index % len(KINDS)] for index in range(options.kills)]
    chance.shuffle(victims)
    shares = [victims[index :: options.campaigns] for index in range(options.campaigns)]
    campaigns = [_campaign(share, chance) for share in shares if share]
    emit(_report(campaigns), as_json=options.json, check=options.check)


@dataclass(frozen=True, slots=True)
class _Result:
    kills: list[tuple[str, float]]
    lost: int
    doubled: int
    totals: Counter[str]


def _campaign(victims: list[str], chance: random.Random) -> _Result:
    folder = Path(tempfile.mkdtemp(prefix="rloop-crash-"))
    campaign = Campaign(folder, chance)
    try:
        for kind in victims:
            time.sleep(chance.uniform(0.0, 0.6))
            campaign.shoot(kind)
        campaign.end()
        return _Result(campaign.kills, campaign.lost(), campaign.doubled(), campaign.totals())
    finally:
        campaign.process.kill()
        campaign.process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _report(results: list[_Result]) -> Report:
    kills = [kill for result in results for kill in result.kills]
    seconds = [one for _, one in kills]
    p99 = quantiles(seconds, n=100, method="inclusive")[98] if len(seconds) > 1 else seconds[0]
    totals = sum((result.totals for result in results), Counter[str]())
    by_kind = {kind: [one for k, one in kills if k == kind] for kind in KINDS}
    lost = sum(result.lost for result in results)
    doubled = sum(result.doubled for result in results)
    return Report(
        benchmark="crash",
        figures={
            "campaigns": len(results),
            "kills": dict(Counter(kind for kind, _ in kills)),
            "nextStartSeconds": {
                kind: {"median": round(median(found), 3), "max": round(max(found), 3)}
                for kind, found in by_kind.items()
                if found
            },
            **totals,
        },
        goals=[
            Goal("rows lost", lost, "== 0", met=lost == 0),
            Goal("rows or attempts doubled", doubled, "== 0", met=doubled == 0),
            Goal(
                "next useful start, median (s)",
                round(median(seconds), 3),
                f"< {GOAL_SECONDS}",
                met=median(seconds) < GOAL_SECONDS,
            ),
            Goal("next useful start, p99 (s)", round(p99, 3), f"< {GOAL_SECONDS}", met=p99 < GOAL_SECONDS),
        ],
    )


if __name__ == "__main__":
    main()
