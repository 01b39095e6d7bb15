"""The trainer's README says what the code does: keys, defaults, bounds, the example, the files."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import annotated_types
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from tests.images.trainer import tasks

from rloop_trainer.inputs.check import checked
from rloop_trainer.inputs.recipe import Recipe
from rloop_trainer.progress import SIGNALS

IMAGE = Path(__file__).parents[3] / "images/trainer"
README = (IMAGE / "README.md").read_text()


def types_in(annotation: Any) -> Iterator[Any]:
    yield annotation
    for inner in get_args(annotation):
        yield from types_in(inner)


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        parts = [one for one in types_in(field.annotation) if isinstance(one, type) and issubclass(one, BaseModel)]
        if parts:
            yield from keys(parts[0], f"{prefix}{name}.")
        else:
            yield prefix + name, field


def default(field: FieldInfo) -> str:
    return "required" if field.is_required() else "none" if field.default is None else str(field.default)


def may_be(field: FieldInfo) -> str:
    words = [one for one in types_in(field.annotation) if isinstance(one, str)]
    if words:
        return ", ".join(words)
    found: dict[str, float] = {}
    bounds = [*field.metadata]
    for one in types_in(field.annotation):
        if isinstance(one, FieldInfo):
            bounds += one.metadata
    for bound in bounds:
        match bound:
            case annotated_types.Ge(ge=low) | annotated_types.MinLen(min_length=low):
                found["low"] = float(str(low))
            case annotated_types.Gt(gt=above):
                found["above"] = float(str(above))
            case annotated_types.Le(le=high) | annotated_types.MaxLen(max_length=high):
                found["high"] = float(str(high))
            case _:
                pass
    text = f"above {found['above']:.0f}, " if "above" in found else f"{found.get('low', 1):.0f} "
    is_text = str in types_in(field.annotation)
    return f"{text}to {found['high']:.0f}{' characters' if is_text else ''}"


def test_every_key_stands_in_the_table_with_its_default_and_its_bounds() -> None:
    rows = re.findall(r"^\| `([a-z_.]+)` \| ([^|]*) \| ([^|]*) \|", README, re.MULTILINE)
    assert rows == [(key, default(field), may_be(field)) for key, field in keys(Recipe)]


def test_the_example_is_a_right_recipe(tmp_path: Path) -> None:
    (text,) = re.findall(r"^```yaml\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    (tmp_path / "recipe.yaml").write_text(text)
    for name in ("train.jsonl", "warm.jsonl"):
        tasks.lines(tmp_path / name, tasks.SUMS)
    recipe = checked(tmp_path / "recipe.yaml", ranks=8)
    assert recipe.model_fields_set == set(Recipe.model_fields)
    assert yaml.safe_load(text)["grpo"]["learning_rate"] == recipe.grpo.learning_rate


def test_the_signals_are_named() -> None:
    row = next(line for line in README.splitlines() if line.startswith("| `progress.jsonl`"))
    assert set(re.findall(r"`(\w+)`", row)) == {"step", *SIGNALS}


def test_the_list_of_files_is_whole() -> None:
    package = IMAGE / "rloop_trainer"
    listed = set(re.findall(r"^  ([\w/]+\.py) ", README, re.MULTILINE))
    files = {path.relative_to(package).as_posix() for path in package.rglob("*.py") if path.name != "__init__.py"}
    assert listed == files
