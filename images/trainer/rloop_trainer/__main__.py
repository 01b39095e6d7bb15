"""`rloop-trainer [--check | --warm-start] RECIPE`: one attempt of a run, or one rank of it.

Started as a task's command, also as `python -m rloop_trainer`, in the task's folder. Exit codes: 0 done; 2 the recipe,
its files or the environment are invalid, one line for each error; 3 the recipe makes the training fail; 143 ended by
SIGTERM, with a checkpoint if steps had begun; 1 anything else.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path

from rloop_trainer import world
from rloop_trainer.inputs.check import BadRecipe, checked
from rloop_trainer.inputs.recipe import Recipe
from rloop_trainer.world import BadWorld, World

TERMINATED = 143
MAX_SEED = 2**31 - 1


def main(arguments: list[str] | None = None) -> int:
    """Run the requested mode; returns the exit code."""
    parser = argparse.ArgumentParser(prog="rloop-trainer", description="train with GRPO as the recipe says")
    parser.add_argument("recipe", type=Path, help="a .yaml or .json file")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="only check the recipe and print its problems")
    what.add_argument("--warm-start", action="store_true", help="only make the warm start")
    asked = parser.parse_args(arguments)
    try:
        if asked.check:
            # A preflight is not a rank: it gets only the number of ranks, and no other variable of torchrun.
            checked(asked.recipe, world.size(os.environ))
            return 0
        here = world.world(os.environ)
        recipe = checked(asked.recipe, here.size)
        if asked.warm_start:
            return _warm_start(recipe, asked.recipe.parent)
        return _train(recipe, asked.recipe.parent, here)
    except BadWorld as error:
        print(error, file=sys.stderr)
    except BadRecipe as error:
        print("\n".join(error.lines), file=sys.stderr)
    return 2


def _warm_start(recipe: Recipe, task: Path) -> int:
    from rloop_trainer.models import warm_start

    if recipe.warm_start is None:
        raise BadRecipe(["warm_start: is missing; add it to make a warm start"])
    world.set_defaults(os.environ)
    begun = time.monotonic()
    cache = warm_start.cache(os.environ)
    try:
        folder = warm_start.ensure(recipe, task, cache)
    except OSError as error:
        raise BadWorld(f"{cache} cannot be written ({error.strerror}); name a folder in TRAINER_CACHE") from None
    print(f"{folder} ({time.monotonic() - begun:.1f} s)", flush=True)
    return 0


def _train(recipe: Recipe, task: Path, here: World) -> int:
    from rloop_trainer.run import Place, run
    from rloop_trainer.stops import Sigterm, Terminated, TrainingFailed

    seed = _variable(os.environ, "RLOOP_SEED")
    if not seed.isdecimal() or int(seed) > MAX_SEED:
        raise BadWorld(f"RLOOP_SEED is {seed!r}; it must be a whole number of at most {MAX_SEED}")
    place = Place(task, _folder("RLOOP_ARTIFACTS"), _folder("RLOOP_CHECKPOINTS"), int(seed))
    world.set_defaults(os.environ)
    world.see_one_gpu(here, os.environ)
    try:
        sigterm = Sigterm()
        return 0 if run(recipe, place, here, sigterm) else TERMINATED
    except Terminated:
        return TERMINATED
    except TrainingFailed as failure:
        print(f"stopped: {failure}", file=sys.stderr, flush=True)
        return 3


def _folder(name: str) -> Path:
    path = Path(_variable(os.environ, name))
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadWorld(f"{name}: {path} cannot be made a folder ({error.strerror})") from None
    return path


def _variable(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise BadWorld(f"{name} is not set; it is part of the task's contract (docs/task-contract.md)")
    return value


def command() -> None:
    """Entry point of the console script and of `python -m`.

    Exits without the libraries' exit handlers, which may wait for lost ranks.
    """
    try:
        code = main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 2
    except BaseException as error:  # noqa: BLE001  # the last line of the log says what it was
        traceback.print_exc()
        print(f"failed: {type(error).__name__}: {error}", file=sys.stderr)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    command()
