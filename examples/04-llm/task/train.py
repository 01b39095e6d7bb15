"""One training run: recipe.json and RLOOP_SEED in, policy.json, progress.jsonl and claims.json out."""

import json
import os
import sys
from pathlib import Path

import kuhn
import learner
from recipe import RecipeError, read


def main() -> int:
    folder, seed = os.environ.get("RLOOP_ARTIFACTS"), os.environ.get("RLOOP_SEED")
    if not folder or not seed:
        print("train.py needs RLOOP_SEED and RLOOP_ARTIFACTS in its environment.", file=sys.stderr)
        return 2
    try:
        recipe = read("recipe.json")
    except RecipeError as error:
        print(error, file=sys.stderr)
        return 2
    artifacts = Path(folder)

    def report(step: int, policy: kuhn.Policy) -> None:
        with (artifacts / "progress.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "nashconv": round(kuhn.nashconv(policy), 6)}) + "\n")

    # A seed may be any text: random.Random hashes a string the same way in every process.
    policy = learner.train(recipe, seed, report)
    named = zip(kuhn.INFORMATION_SETS, policy, strict=True)
    rows = {name: {"pass": 1.0 - bet, "bet": bet} for name, bet in named}
    (artifacts / "policy.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    (artifacts / "claims.json").write_text(json.dumps({"nashconv": kuhn.nashconv(policy)}), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
