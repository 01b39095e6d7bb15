"""The verifier's scorer: is policy.json a policy for Kuhn poker, and how far is it from an equilibrium?

It shares no code with the task: the game is written here a second time, in another way, and the best
responses are found by trying all 64 pure strategies of a player, which leaves nothing to get wrong.
"""

import itertools
import json
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

CARDS = "JQK"
DEALS = list(itertools.permutations(CARDS, 2))
# Histories in which each player decides, and all the ways a hand can end.
DECISIONS = (("", "pb"), ("p", "b"))
ENDS = ("pp", "pbp", "pbb", "bp", "bb")
LARGEST_FILE = 100_000

# From an information set ("Kpb": the card, then the history) to the probability of "b".
Strategy = dict[str, float]


def information_sets(player: int) -> list[str]:
    return [card + history for history in DECISIONS[player] for card in CARDS]


def payoff(deal: tuple[str, ...], end: str) -> int:
    """What the first player wins when the hand with these two cards ends like this."""
    sign = 1 if CARDS.index(deal[0]) > CARDS.index(deal[1]) else -1
    if end == "bp":
        return 1
    if end == "pbp":
        return -1
    return sign * (1 if end == "pp" else 2)


def value(first: Strategy, second: Strategy) -> float:
    """The first player's expected payoff."""
    total = 0.0
    for deal in DEALS:
        for end in ENDS:
            chance = 1.0
            for turn, action in enumerate(end):
                bet = (first, second)[turn % 2][deal[turn % 2] + end[:turn]]
                chance *= bet if action == "b" else 1.0 - bet
            total += chance * payoff(deal, end)
    return total / len(DEALS)


def pure_strategies(player: int) -> Iterator[Strategy]:
    names = information_sets(player)
    for actions in itertools.product((0.0, 1.0), repeat=len(names)):
        yield dict(zip(names, actions, strict=True))


def nashconv(policy: Strategy) -> float:
    """The sum of what each player would gain by a best response. (Zero-sum: the current values cancel.)"""
    first_best = max(value(pure, policy) for pure in pure_strategies(0))
    second_best = max(-value(policy, pure) for pure in pure_strategies(1))
    # The sum cannot be negative; rounding may say so by 1e-17.
    return max(0.0, first_best + second_best)


def read_policy(path: Path) -> tuple[Strategy, str]:
    """The policy and the empty string; or nothing, and what is wrong with the file."""
    expected = information_sets(0) + information_sets(1)
    try:
        # An artifact is the candidate's: a file of any size and content may lie there.
        with path.open(encoding="utf-8") as file:
            text = file.read(LARGEST_FILE + 1)
        if len(text) > LARGEST_FILE:
            return {}, f"policy.json is larger than {LARGEST_FILE} characters"
        given = json.loads(text)
    except FileNotFoundError:
        return {}, "there is no policy.json"
    except (OSError, ValueError, RecursionError) as error:
        return {}, f"policy.json cannot be read: {str(error)[:200]}"
    if not isinstance(given, dict) or sorted(given) != sorted(expected):
        return {}, f"policy.json must have exactly the information sets {', '.join(expected)}"
    policy = {}
    for name in expected:
        row = given[name]
        if not isinstance(row, dict) or sorted(row) != ["bet", "pass"]:
            return {}, f"{name} must be an object with pass and bet"
        for number in row.values():
            if isinstance(number, bool) or not isinstance(number, (int, float)):
                return {}, f"{name} has a probability that is not a number"
            # NaN compares false with everything, so it fails here as well as infinity.
            if not 0 <= number <= 1:
                return {}, f"{name} has a probability outside [0, 1]"
        if math.fabs(row["pass"] + row["bet"] - 1) > 1e-6:
            return {}, f"the probabilities of {name} do not sum to 1"
        policy[name] = float(row["bet"])
    return policy, ""


def main() -> int:
    policy, problem = read_policy(Path(os.environ["RLOOP_ARTIFACTS"]) / "policy.json")
    detail = problem or "12 information sets, probabilities sum to 1"
    verdict = {
        "metrics": {} if problem else {"nashconv": nashconv(policy)},
        "checks": [{"name": "policy-is-valid", "passed": not problem, "detail": detail}],
    }
    Path(os.environ["RLOOP_VERDICT"]).write_text(json.dumps(verdict), encoding="utf-8")
    # A bad artifact is a verdict, not a failure of the scorer.
    return 0


if __name__ == "__main__":
    sys.exit(main())
