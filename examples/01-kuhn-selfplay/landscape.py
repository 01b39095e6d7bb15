"""Measures what this example promises: no number helps in the starting frame, some structural changes do.

For the starting frame and each single structural change away from it: random coefficients from the ranges of
space.yaml, a few seeds each, the exact NashConv of what training hands in. It needs PyYAML to read space.yaml
and nothing else; the task itself needs only Python.

    python landscape.py [--draws 60] [--seeds 5] [--json FILE]
"""

import argparse
import json
import math
import multiprocessing
import random
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import yaml

TASK = Path(__file__).parent / "task"
# The task folder is copied as it lies there: leave no compiled files in it.
sys.dont_write_bytecode = True
sys.path.insert(0, str(TASK))

import kuhn  # noqa: E402
import learner  # noqa: E402
from recipe import complete  # noqa: E402

TARGET = 0.05
Frame = dict[str, str]


def frames(dimensions: list[dict]) -> Iterator[tuple[str, Frame]]:
    """The starting frame, then each frame one structural change away: (name, its structural values)."""
    structural = [d for d in dimensions if d.get("structural")]
    start = {d["name"]: d["default"] for d in structural}
    yield "start", start
    for dimension in structural:
        for value in dimension["values"]:
            if value != dimension["default"]:
                yield f"{dimension['name']}={value}", {**start, dimension["name"]: value}


def draw(dimensions: list[dict], frame: Frame, dice: random.Random) -> dict:
    """A recipe of this frame whose other coefficients are random in their ranges."""
    recipe = {}
    for dimension in dimensions:
        name, key = dimension["name"], dimension["key"]
        # All conditions must hold: direct-rate exists for direct parameters without Adam.
        if any(frame[other] not in allowed for other, allowed in dimension.get("when", {}).items()):
            continue
        if name in frame:
            recipe[key] = frame[name]
        elif "values" in dimension:
            recipe[key] = dice.choice(dimension["values"])
        elif dimension.get("log"):
            exponent = dice.uniform(math.log(dimension["low"]), math.log(dimension["high"]))
            recipe[key] = math.exp(exponent)
        else:
            recipe[key] = dice.uniform(dimension["low"], dimension["high"])
    return recipe


def measure(job: tuple[dict, list[str]]) -> list[float]:
    """The NashConv of one recipe after training with each seed."""
    recipe, seeds = job
    return [kuhn.nashconv(learner.train(complete(recipe), seed)) for seed in seeds]


def summary(rows: list[tuple[dict, list[float]]]) -> dict:
    """What the table shows of the (recipe, values) pairs of one frame."""
    means = sorted(statistics.mean(values) for _, values in rows)
    best = min(rows, key=lambda row: statistics.mean(row[1]))
    return {
        "min": means[0],
        "median": statistics.median(means),
        "max": means[-1],
        # Root of the mean variance: the noise between runs of one and the same recipe.
        "sd": math.sqrt(statistics.mean(statistics.variance(values) for _, values in rows)),
        "sdOfBest": statistics.stdev(best[1]),
        "belowTarget": sum(mean < TARGET for mean in means) / len(means),
        "best": best[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the landscape of the Kuhn poker example.")
    parser.add_argument("--draws", type=int, default=60, help="random recipes per frame (default: 60)")
    parser.add_argument("--seeds", type=int, default=5, help="runs per recipe, at least 2 (default: 5)")
    parser.add_argument("--processes", type=int, default=2, help="worker processes (default: 2)")
    parser.add_argument("--json", metavar="FILE", help="write the table and every value here as well")
    options = parser.parse_args()
    began = time.monotonic()
    dimensions = yaml.safe_load((TASK / "space.yaml").read_text())["dimensions"]
    dice = random.Random(1)
    result = {"target": TARGET, "draws": options.draws, "seeds": options.seeds, "frames": {}}
    print(f"{'frame':22} {'min':>7} {'median':>7} {'max':>7} {'sd':>7} {'sd best':>7} {'< target':>8}")
    with multiprocessing.Pool(options.processes) as pool:
        for name, frame in frames(dimensions):
            recipes = [draw(dimensions, frame, dice) for _ in range(options.draws)]
            jobs = [
                (recipe, [f"{name}/{number}/{seed}" for seed in range(options.seeds)])
                for number, recipe in enumerate(recipes)
            ]
            rows = list(zip(recipes, pool.map(measure, jobs, chunksize=1), strict=True))
            row = summary(rows)
            result["frames"][name] = {**row, "runs": [{"recipe": r, "nashconv": v} for r, v in rows]}
            numbers = " ".join(f"{row[key]:7.4f}" for key in ("min", "median", "max", "sd", "sdOfBest"))
            print(f"{name:22} {numbers} {row['belowTarget']:8.0%}", flush=True)
    reached = sum(row["belowTarget"] > 0 for row in result["frames"].values())
    result["seconds"] = round(time.monotonic() - began, 1)
    print(f"{reached} of {len(result['frames'])} frames reach {TARGET}; {result['seconds']} s")
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
