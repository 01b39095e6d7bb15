"""Kuhn poker as the learner sees it: who can know what, the exact payoff gradient, the exact NashConv.

Three cards (J < Q < K), one chip in the pot from each player, one bet of one chip. Each of the twelve
information sets has two actions, pass ("p": check or fold) and bet ("b": bet or call), so a joint policy is a
list of twelve numbers: the probability of "b" in each information set, in the order of INFORMATION_SETS.
"""

Policy = list[float]

CARDS = "JQK"
# The card a player holds, then what was played so far. The first six belong to the first player.
INFORMATION_SETS = [card + history for history in ("", "pb", "p", "b") for card in CARDS]

# Each dealt with probability 1/6: the two players' cards, and +1 when the first player holds the higher one.
DEALS = [(a, b, 1.0 if a > b else -1.0) for a in range(3) for b in range(3) if a != b]


def payoff_gradient(policy: Policy, opponent: Policy) -> list[float]:
    """How each player's expected payoff changes with each of its own probabilities in `policy`.

    The other player plays `opponent`, again a list of twelve numbers; plain self-play passes `policy` twice.
    This is exact and goes over the whole tree: all six deals, all five ways a deal can end.
    """
    gradient = [0.0] * 12
    for first, second, sign in DEALS:
        # The first player's turn, against the other player's strategy.
        bets, calls = policy[first], policy[3 + first]
        their_bet, their_call = opponent[6 + second], opponent[9 + second]
        showdown = 2.0 * sign
        after_bet = 1.0 + their_call * (showdown - 1.0)
        facing_bet = -1.0 + calls * (showdown + 1.0)
        after_check = sign + their_bet * (facing_bet - sign)
        gradient[first] += after_bet - after_check
        gradient[3 + first] += (1.0 - bets) * their_bet * (showdown + 1.0)
        # The second player's turn. Its payoff is the negative of the first player's.
        their_bet, their_call = opponent[first], opponent[3 + first]
        facing_bet = -1.0 + their_call * (showdown + 1.0)
        gradient[6 + second] -= (1.0 - their_bet) * (facing_bet - sign)
        gradient[9 + second] -= their_bet * (showdown - 1.0)
    return [value / 6.0 for value in gradient]


def nashconv(policy: Policy) -> float:
    """What both players could gain by best responses: 0 in an equilibrium, 11/12 for the uniform policy."""
    first_total = second_total = 0.0
    for card in range(3):
        bet = check_passed = fold = call = 0.0
        second_call = second_fold = second_bet = second_check = 0.0
        for first, second, sign in DEALS:
            if first == card:
                their_bet, their_call = policy[6 + second], policy[9 + second]
                bet += 1.0 + their_call * (2.0 * sign - 1.0)
                check_passed += (1.0 - their_bet) * sign
                fold -= their_bet
                call += their_bet * 2.0 * sign
            if second == card:
                their_bet, their_call = policy[first], policy[3 + first]
                second_call -= their_bet * 2.0 * sign
                second_fold -= their_bet
                second_bet += (1.0 - their_bet) * (1.0 - their_call * (2.0 * sign + 1.0))
                second_check -= (1.0 - their_bet) * sign
        first_total += max(bet, check_passed + max(fold, call))
        second_total += max(second_call, second_fold) + max(second_bet, second_check)
    # The game is zero-sum: the values of the policies themselves cancel in the sum.
    return (first_total + second_total) / 6.0


def realisation(policy: Policy) -> list[float]:
    """The policy as probabilities of whole sequences of own actions: only in this form do averages mean play.

    Only the first player acts twice: it can face a bet ("pb") only after it has checked.
    """
    return [
        *policy[:3],
        *((1.0 - policy[card]) * policy[3 + card] for card in range(3)),
        *policy[6:],
    ]


def behaviour(plan: list[float]) -> Policy:
    """The inverse of `realisation`."""
    policy = list(plan)
    for card in range(3):
        reach = 1.0 - plan[card]
        policy[3 + card] = min(1.0, plan[3 + card] / reach) if reach > 1e-12 else 0.5
    return policy
