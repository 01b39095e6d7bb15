"""Fits a line to 64 noisy points by stochastic gradient descent, a few points a step."""

import json
import os
import random

with open("recipe.json") as file:
    recipe = json.load(file)
chance = random.Random(os.environ["RLOOP_SEED"])
points = [(x, 3 * x - 1 + chance.gauss(0, 0.1)) for x in (chance.uniform(-1, 1) for _ in range(64))]
slope, offset = 0.0, 0.0
for _ in range(60):
    batch = chance.choices(points, k=max(1, round(recipe["batch"])))
    errors = [(slope * x + offset - y, x) for x, y in batch]
    slope -= recipe["rate"] * sum(error * x for error, x in errors) / len(errors)
    offset -= recipe["rate"] * sum(error for error, _ in errors) / len(errors)
with open(os.path.join(os.environ["RLOOP_ARTIFACTS"], "line.json"), "w") as file:
    json.dump([slope, offset], file)
