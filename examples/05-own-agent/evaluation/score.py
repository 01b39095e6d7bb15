"""The mean squared distance between the trained line and the true one, on 21 places."""

import json
import math
import os

with open(os.path.join(os.environ["RLOOP_ARTIFACTS"], "line.json")) as file:
    line = json.load(file)
fine = isinstance(line, list) and len(line) == 2 and all(math.isfinite(one) and abs(one) < 1e6 for one in line)
verdict = {"metrics": {}, "checks": [{"name": "is-a-line", "passed": fine, "detail": "two finite numbers below 1e6"}]}
if fine:
    places = [step / 10 - 1 for step in range(21)]
    verdict["metrics"]["mse"] = sum((line[0] * x + line[1] - (3 * x - 1)) ** 2 for x in places) / len(places)
with open(os.environ["RLOOP_VERDICT"], "w") as file:
    json.dump(verdict, file)
