"""Self-play in Kuhn poker: one class for each part of the algorithm that a recipe can exchange.

All parts are textbook ones and share one loop. A policy is a list of twelve probabilities (see kuhn.py).
"""

import math
import random
from collections.abc import Callable

import kuhn
from kuhn import Policy

UPDATES = 1000
# Spread of the log-odds of the first policy around 0. Play cycles and magnifies the differences, so runs end
# far apart. With a spread of 1 some runs start so close to a pure action that policy gradient, whose steps
# shrink with p(1 - p), does not leave it within the updates: that noise would hide everything else.
START_SPREAD = 0.3
# Keeps direct probabilities a little inside [0, 1], and so the log-odds of any policy finite.
EDGE = 1e-6


class Parameters:
    """The numbers that are trained: the log-odds of betting, or the probability itself kept in its range."""

    def __init__(self, kind: str, policy: Policy) -> None:
        self.logits = kind == "logits"
        self.values = [math.log(p / (1.0 - p)) for p in policy] if self.logits else list(policy)

    def policy(self) -> Policy:
        if self.logits:
            # At +-30 the probability is 0 or 1 to thirteen digits: the bound only keeps exp() in range.
            return [1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, value)))) for value in self.values]
        return list(self.values)

    def gradient(self, policy: Policy, gradient: list[float]) -> list[float]:
        """The gradient with respect to the trained numbers, by the chain rule."""
        if self.logits:
            return [g * p * (1.0 - p) for g, p in zip(gradient, policy, strict=True)]
        return gradient

    def move(self, step: list[float]) -> None:
        self.values = [value + change for value, change in zip(self.values, step, strict=True)]
        if not self.logits:
            self.values = [max(EDGE, min(1.0 - EDGE, value)) for value in self.values]


class Optimizer:
    """From a gradient to a step uphill."""

    def __init__(self, recipe: dict) -> None:
        self.kind = recipe["optimizer"]
        # Three rates, as a step means three things. Adam divides by the size of the gradient: its rate is a
        # distance; a step of a probability, which lies in [0, 1], is shorter than one of its log-odds.
        usual = "learning_rate" if recipe["parameters"] == "logits" else "direct_rate"
        self.rate = recipe["adam_rate" if self.kind == "adam" else usual]
        self.momentum = recipe["momentum"]
        # Adam's two moments; the first serves momentum and optimism too.
        self.first = [0.0] * 12
        self.second = [0.0] * 12
        self.count = 0

    def step(self, gradient: list[float]) -> list[float]:
        rate = self.rate
        self.count += 1
        if self.kind == "sgd":
            return [rate * g for g in gradient]
        if self.kind == "momentum":
            # (1 - momentum) keeps the length of the step: the learning rate means the same in every frame.
            keep = self.momentum
            self.first = [keep * m + (1.0 - keep) * g for m, g in zip(self.first, gradient, strict=True)]
            return [rate * m for m in self.first]
        if self.kind == "optimistic":
            # The next gradient is predicted to change as the last one did (optimistic gradient ascent).
            before = self.first if self.count > 1 else gradient
            self.first = gradient
            return [rate * (2.0 * g - b) for g, b in zip(gradient, before, strict=True)]
        self.first = [0.9 * m + 0.1 * g for m, g in zip(self.first, gradient, strict=True)]
        self.second = [0.999 * v + 0.001 * g * g for v, g in zip(self.second, gradient, strict=True)]
        first, second = 1.0 - 0.9**self.count, 1.0 - 0.999**self.count
        moments = zip(self.first, self.second, strict=True)
        return [rate * m / first / (math.sqrt(v / second) + 1e-8) for m, v in moments]


class Average:
    """A mean of policies over time, of equal or of exponentially forgotten weights."""

    def __init__(self, decay: float | None = None) -> None:
        self.decay = decay
        self.weight = 0.0
        self.plan = [0.0] * 12

    def add(self, policy: Policy) -> None:
        self.weight = 1.0 + (self.weight if self.decay is None else self.decay * self.weight)
        share = 1.0 / self.weight
        pairs = zip(self.plan, kuhn.realisation(policy), strict=True)
        self.plan = [old + share * (new - old) for old, new in pairs]

    def policy(self) -> Policy:
        return kuhn.behaviour(self.plan)


class Opponent:
    """Whom each player trains against: the other one now, its average so far, or one of its past selves."""

    def __init__(self, recipe: dict, dice: random.Random) -> None:
        self.kind = recipe["opponent"]
        self.interval, self.size = recipe["pool_interval"], recipe["pool_size"]
        self.dice = dice
        self.average = Average()
        self.pool: list[Policy] = []
        self.count = 0

    def policy(self, current: Policy) -> Policy:
        if self.kind == "current":
            return current
        if self.kind == "average":
            self.average.add(current)
            return self.average.policy()
        if self.count % self.interval == 0:
            # The newest selves only: a pool is finite.
            self.pool = [*self.pool, current][-self.size :]
        self.count += 1
        return self.dice.choice(self.pool)


class Anchor:
    """A pull towards a fixed policy: the gradient of -weight/2 * (distance of the probabilities) squared."""

    def __init__(self, recipe: dict) -> None:
        self.kind = recipe["anchor"]
        self.weight, self.interval = recipe["anchor_weight"], recipe["anchor_interval"]
        self.centre = [0.5] * 12
        self.count = 0

    def pull(self, policy: Policy, gradient: list[float]) -> list[float]:
        if self.kind == "none":
            return gradient
        if self.kind == "snapshot" and self.count % self.interval == 0:
            self.centre = policy
        self.count += 1
        triples = zip(gradient, self.centre, policy, strict=True)
        return [g + self.weight * (c - p) for g, c, p in triples]


class Output:
    """The policy a run hands in: the last one, or a mean over the whole run or its end."""

    def __init__(self, recipe: dict) -> None:
        self.kind = recipe["averaging"]
        self.begin = UPDATES * (1.0 - recipe["tail_fraction"]) if self.kind == "tail" else 0.0
        self.average = Average(1.0 - 1.0 / recipe["ema_updates"] if self.kind == "ema" else None)
        self.last: Policy = []

    def add(self, number: int, policy: Policy) -> None:
        self.last = policy
        if self.kind != "none" and number >= self.begin:
            self.average.add(policy)

    def policy(self) -> Policy:
        # A tail that has not begun yet has no mean.
        return self.average.policy() if self.average.weight else self.last


def start(dice: random.Random) -> Policy:
    """A random first policy."""
    return [1.0 / (1.0 + math.exp(-dice.gauss(0.0, START_SPREAD))) for _ in range(12)]


def train(recipe: dict, seed: str, report: Callable[[int, Policy], None] | None = None) -> Policy:
    """The policy handed in after UPDATES updates of both players at once; `report` hears of it ten times."""
    dice = random.Random(seed)
    parameters = Parameters(recipe["parameters"], start(dice))
    optimizer, anchor, output = Optimizer(recipe), Anchor(recipe), Output(recipe)
    opponent = Opponent(recipe, dice)
    policy = parameters.policy()
    for number in range(1, UPDATES + 1):
        gradient = anchor.pull(policy, kuhn.payoff_gradient(policy, opponent.policy(policy)))
        parameters.move(optimizer.step(parameters.gradient(policy, gradient)))
        policy = parameters.policy()
        output.add(number, policy)
        if report is not None and number % (UPDATES // 10) == 0:
            report(number, output.policy())
    return output.policy()
