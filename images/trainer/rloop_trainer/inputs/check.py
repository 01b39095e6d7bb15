"""Checks a recipe and the files it names; each error has its key and a remedy. Takes a second and needs no torch.

Called by `rloop_trainer.__main__`, for --check and before a run imports heavy libraries. Errors that only a tokenizer
or a network can reveal are reported later, by `rloop_trainer.models.start_model`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from rloop.api.reading.wording import sentence, shown
from rloop_trainer.inputs import document, examples
from rloop_trainer.inputs.recipe import Data, Grpo, Model, Recipe, Reward, Scratch, WarmStart

P = TypeVar("P", bound=BaseModel)
WEIGHTS = ("*.safetensors", "*.bin", "*.safetensors.index.json")


class BadRecipe(Exception):
    """The recipe is invalid; one line for each problem."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        super().__init__("\n".join(lines))


@dataclass(frozen=True, slots=True)
class _Parts:
    """The sections that are valid by themselves, else None: their files are checked even if others are invalid."""

    model: Model | None
    warm_start: WarmStart | None
    data: Data | None
    reward: Reward | None
    grpo: Grpo | None

    @property
    def scratch(self) -> Scratch | None:
        return self.model.scratch if self.model is not None else None


def checked(path: Path, ranks: int = 1) -> Recipe:
    """The recipe in a file, for a run on `ranks` processes. Raises BadRecipe with all errors."""
    try:
        found = document.read(path)
    except document.Unreadable as error:
        raise BadRecipe([f"{path}: {error}"]) from None
    problems: list[str] = []
    recipe: Recipe | None = None
    try:
        recipe = Recipe.model_validate(found)
    except ValidationError as error:
        problems += [_structural(detail) for detail in error.errors()]
    problems += _between(_parts(found), path.parent, ranks)
    if problems or recipe is None:
        raise BadRecipe([f"{path}: {problem}" for problem in dict.fromkeys(problems)])
    return recipe


def _parts(found: Mapping[str, Any]) -> _Parts:
    def part(name: str, model: type[P]) -> P | None:
        try:
            return model.model_validate(found[name])
        except (ValidationError, KeyError):
            return None

    return _Parts(
        part("model", Model),
        part("warm_start", WarmStart),
        part("data", Data),
        part("reward", Reward),
        part("grpo", Grpo),
    )


# --- Single values -----------------------------------------------------------------------------------------------


def _structural(detail: ErrorDetails) -> str:
    place = detail["loc"]
    key = ".".join(str(one) for one in place)
    holder = _model_at(place[:-1])
    value = detail["input"]
    match detail["type"]:
        case "extra_forbidden":
            return f"{key}: unknown key; {_meant(str(place[-1]), holder)}"
        case "missing":
            about = holder.model_fields[str(place[-1])].description if holder is not None else None
            return f"{key}: is missing{f'. Its meaning: {about}' if about else ''}"
        case "model_type":
            wanted = _model_at(place)
            keys = ", ".join(wanted.model_fields) if wanted is not None else ""
            return f"{key}: must be a mapping with the keys {keys}"
        case "float_type" | "int_type" | "int_from_float" if isinstance(value, str) and (number := _number(value)):
            why = f" (YAML reads {value} as text)" if "e" in value.lower() else ""
            return f"{key}: {shown(value)} is text, not a number{why}: write {number}"
        case "greater_than":
            return f"{key}: must be greater than {detail['ctx']['gt']:g}, not {value}"
        case "invalid_key":
            return f"{key}: a key must be text; put it in quotes"
        case "string_pattern_mismatch":
            allowed = "may contain letters, digits, _, . and -, and must start with a letter or _"
            return f"{key}: {allowed}; found {shown(value)}"
        case _:
            return f"{key}: {sentence(detail)}"


def _number(text: str) -> str:
    """The number in a form that both YAML and JSON parse; "" if the text is not a number."""
    if not re.fullmatch(r"[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?|[-+]?[0-9]+\.", text.strip()):
        return ""
    mantissa, letter, exponent = text.strip().lower().partition("e")
    if not letter:
        return mantissa.lstrip("+")
    sign = exponent if exponent[0] in "+-" else f"+{exponent}"
    return f"{float(mantissa)}e{sign}"


def _meant(name: str, holder: type[BaseModel] | None) -> str:
    fields = list(holder.model_fields) if holder is not None else []
    close = get_close_matches(name.lower().replace("-", "_"), fields, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    elsewhere = [path for path in _paths(Recipe) if path.rpartition(".")[2] == name]
    if elsewhere:
        return f"did you mean {elsewhere[0]}?"
    return f"the keys here are {', '.join(fields)}"


def _paths(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield prefix + name
        nested = _nested(field.annotation)
        if nested is not None:
            yield from _paths(nested, f"{prefix}{name}.")


def _nested(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_nested, get_args(annotation))), None)


def _model_at(place: tuple[int | str, ...]) -> type[BaseModel] | None:
    model: type[BaseModel] | None = Recipe
    for name in place:
        field = model.model_fields.get(str(name)) if model is not None else None
        model = _nested(field.annotation) if field is not None else None
    return model


# --- Relations between values, and files -------------------------------------------------------------------------


def _between(parts: _Parts, folder: Path, ranks: int) -> Iterator[str]:
    yield from _model(parts, folder)
    yield from _numbers(parts.grpo, ranks)
    yield from _reward(parts.reward, folder)
    yield from _data(parts, folder)


def _model(parts: _Parts, folder: Path) -> Iterator[str]:
    model, scratch = parts.model, parts.scratch
    if model is None:
        return
    given = [name for name in ("hub", "path", "scratch") if getattr(model, name) is not None]
    if len(given) != 1:
        found = " and ".join(given) if given else "none"
        yield f"model: needs exactly one of hub, path and scratch; found {found}"
    if parts.warm_start is not None and scratch is None:
        yield "warm_start: is for model.scratch only; remove it, or name a model that was trained before"
    if model.path is not None:
        yield from _folder(model.path, folder / model.path)
    if scratch is None:
        return
    if len(set(scratch.vocabulary)) < len(scratch.vocabulary):
        twice = next(one for one in scratch.vocabulary if scratch.vocabulary.count(one) > 1)
        yield f"model.scratch.vocabulary: {twice!r} occurs twice; remove one"
    if scratch.hidden % (2 * scratch.heads):
        yield (
            f"model.scratch.hidden: {scratch.hidden} must be divisible by twice the heads ({2 * scratch.heads}): "
            f"write {-(-scratch.hidden // (2 * scratch.heads)) * 2 * scratch.heads}"
        )
    if scratch.heads % scratch.kv_heads:
        yield f"model.scratch.kv_heads: {scratch.kv_heads} must divide heads, which is {scratch.heads}"


def _folder(name: str, path: Path) -> Iterator[str]:
    try:
        is_folder = path.is_dir()
    except OSError as error:
        yield f"model.path: {name}: cannot be read ({error.strerror})"
        return
    if not is_folder:
        yield f"model.path: {name}: there is no such folder"
    elif not (path / "config.json").is_file():
        yield f"model.path: {name}: has no config.json; give a folder that save_pretrained wrote"
    elif not any(found for pattern in WEIGHTS for found in path.glob(pattern)):
        yield f"model.path: {name}: has no weights (model.safetensors); give a folder that save_pretrained wrote"
    elif not any((path / one).is_file() for one in ("tokenizer.json", "tokenizer.model", "tokenizer_config.json")):
        yield f"model.path: {name}: has no tokenizer; save the model's tokenizer into the same folder"


def _numbers(grpo: Grpo | None, ranks: int) -> Iterator[str]:
    if grpo is None:
        return
    if grpo.batch % grpo.group:
        above = -(-grpo.batch // grpo.group) * grpo.group
        yield f"grpo.batch: {grpo.batch} must be divisible by grpo.group, which is {grpo.group}: write {above}"
    if grpo.batch % ranks:
        yield f"grpo.batch: {grpo.batch} must be divisible by the number of ranks, {ranks}"
    if grpo.warmup_steps >= grpo.steps:
        yield f"grpo.warmup_steps: {grpo.warmup_steps} must be less than grpo.steps, which is {grpo.steps}"


def _reward(reward: Reward | None, folder: Path) -> Iterator[str]:
    if reward is None:
        return
    if (reward.name is None) == (reward.file is None):
        yield "reward: needs exactly one of name and file; write name: exact-match"
    if (reward.file is None) != (reward.function is None):
        yield "reward: file and function go together; write file: reward.py and function: reward"
    elif reward.file is not None and reward.function is not None:
        yield from _function(reward.file, reward.function, folder / reward.file)


def _function(name: str, function: str, path: Path) -> Iterator[str]:
    """Parsed, not imported: a check has no side effects."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        yield f"reward.file: {name}: cannot be read ({error.strerror})"
    except UnicodeDecodeError:
        yield f"reward.file: {name}: is not UTF-8; save it as UTF-8"
    except (SyntaxError, ValueError) as error:
        where = f"line {error.lineno}: " if isinstance(error, SyntaxError) else ""
        yield f"reward.file: {name}: is not valid Python: {where}{getattr(error, 'msg', error)}"
    else:
        names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        if function not in names:
            yield f"reward.function: {name} has no function {function}; it has {', '.join(names) or 'none'}"


def _data(parts: _Parts, folder: Path) -> Iterator[str]:
    scratch = parts.scratch
    vocabulary = scratch.vocabulary if scratch is not None else None
    positions = scratch.positions if scratch is not None else None
    if parts.data is not None:
        tokens = parts.grpo.completion_tokens if parts.grpo is not None else None
        found = examples.problems(folder / parts.data.train, vocabulary=vocabulary, positions=positions, tokens=tokens)
        yield from (f"data.train: {parts.data.train}: {problem}" for problem in found)
    if parts.warm_start is not None:
        file = parts.warm_start.file
        found = examples.problems(folder / file, vocabulary=vocabulary, positions=positions, tokens=None)
        yield from (f"warm_start.file: {file}: {problem}" for problem in found)
