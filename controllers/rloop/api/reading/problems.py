"""What is wrong with a document, in sentences that name the field and the remedy.

Called by `rloop_operator.user_files.manifest` for manifests and for space.yaml. Pydantic finds what is wrong; its own
words are for programmers and never shown. The words about single values are in `rloop.api.reading.wording`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from rloop.api.common import LOOP_NAME_MAX
from rloop.api.reading.wording import sentence, shown
from rloop.api.researchloop import ResearchLoop
from rloop.errors import InputProblem

Place = tuple[str | int, ...]
WHOLE = "document"
"""The place of a problem that belongs to no single field."""
UNION_BRANCHES = {"str", "int", "float", "bool"}
NOT_BUILT: Mapping[str, frozenset[str]] = {
    "spec": frozenset({"ttlSecondsAfterFinished", "historyLimit"}),
    "spec.task": frozenset({"git", "image"}),
    "spec.objective": frozenset({"design"}),
    "spec.objective.mode": frozenset({"Measure"}),
    "spec.evaluation": frozenset({"candidate", "volumes"}),
    "spec.evaluation.comparison": frozenset({"Paired"}),
    "spec.experiment": frozenset({"trainJob"}),
    "spec.agent.policy.name": frozenset({"best-first", "evolutionary"}),
    "spec.stall.onAttention": frozenset({"Suspend"}),
}
"""Fields and values of the API that no shell supports yet. Messages never suggest them; `rloop.admit.loop` or the
cluster rejects them.
"""


def problems(error: ValidationError, document: object, model: type[BaseModel] = ResearchLoop) -> list[InputProblem]:
    """Every problem of `document`, which failed to be a `model`, in the order of the model's fields.

    A misspelt field is one problem, although a required field of the right spelling is missing then too.
    """
    details = error.errors()
    misspelt = {meant for one in details if (meant := _meant(one, model)) is not None}
    found: dict[InputProblem, None] = {}  # a set that keeps its order
    for detail in details:
        if detail["type"] != "missing" or detail["loc"] not in misspelt:
            found[_problem(detail, document, model)] = None
    return list(found)


def _meant(detail: ErrorDetails, model: type[BaseModel]) -> Place | None:
    """The place of the field that an unknown field was probably meant to be; None for any other problem."""
    place: Place = detail["loc"]
    holder = _model_at(model, place[:-1]) if detail["type"] == "extra_forbidden" else None
    if holder is None or _elsewhere(str(place[-1]), holder, model) is not None:
        return None
    meant = nearest(str(place[-1]), list(_fields(holder)))
    return None if meant is None else (*place[:-1], meant)


def _problem(detail: ErrorDetails, document: object, model: type[BaseModel]) -> InputProblem:
    place: Place = detail["loc"]
    if place and place[-1] == "[key]":
        return _bad_key(detail, place[:-1])
    holder = _model_at(model, place[:-1])
    match detail["type"]:
        case "extra_forbidden":
            text = _unknown(str(place[-1]), holder, model, _hidden(place[:-1]))
        case "missing":
            text = _missing(str(place[-1]), holder)
        case "value_error":
            text = str(detail["ctx"]["error"]) + _left_empty(_value_at(document, place), _model_at(model, place))
        case "model_type" | "model_attributes_type" if (wanted := _model_at(model, place)) is not None:
            given = _value_at(document, place)
            named = f"write {{name: {given}}}; " if isinstance(given, str) and "name" in wanted.model_fields else ""
            text = f"must be a mapping: {named}its fields are {_listed(wanted, _hidden(place))}"
        case _ if len(place) > 1 and place[-1] in UNION_BRANCHES and _is_plain(_value_at(document, place[:-1])):
            place, text = place[:-1], "must be a plain value: text, a number, true or false"
        case "string_pattern_mismatch" | "string_too_long" if place == ("metadata", "name"):
            # Stricter than the model's type, which is any Kubernetes object's: our own name is part of others.
            words = f"must be a DNS label of at most {LOOP_NAME_MAX} characters"
            text = f"{words} (a-z, 0-9 and -, a letter or digit at both ends); found {shown(detail['input'])}"
        case _:
            text = sentence(detail, is_command=bool(place) and place[-1] == "command", hidden=_hidden(place))
    return InputProblem(spelled(place), text)


def spelled(place: Place) -> str:
    """A place as it is written in a manifest: `spec.experiment.env[2].name`."""
    text = ""
    for part in place:
        if isinstance(part, int) or not part.replace("_", "").isalnum():
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text or WHOLE


def nearest(word: str, words: Sequence[str]) -> str | None:
    """The one of `words` that was probably meant by `word`."""
    folded = {one.lower(): one for one in words}
    close = get_close_matches(to_camel(word).lower(), folded, n=1, cutoff=0.7)
    return folded[close[0]] if close else None


def _bad_key(detail: ErrorDetails, place: Place) -> InputProblem:
    if detail["type"] == "string_type":
        text = f"the key {detail['input']!r} is not text (YAML reads on, off, yes, no and numbers as such); quote it"
        return InputProblem(spelled(place[:-1]), text)
    return InputProblem(spelled(place), f"the key {sentence(detail)}")


def _hidden(place: Place) -> frozenset[str]:
    return NOT_BUILT.get(spelled(place), frozenset())


def _listed(model: type[BaseModel], hidden: frozenset[str]) -> str:
    return ", ".join(name for name in _fields(model) if name not in hidden)


def _unknown(name: str, holder: type[BaseModel] | None, root: type[BaseModel], hidden: frozenset[str]) -> str:
    if holder is None:
        return "unknown field; remove it"
    if (elsewhere := _elsewhere(name, holder, root)) is not None:
        return f"unknown field here; did you mean {elsewhere}?"
    meant = nearest(name, list(_fields(holder)))
    if meant:
        return f"unknown field; did you mean {meant}?"
    return f"unknown field; the fields here are {_listed(holder, hidden)}"


def _elsewhere(name: str, holder: type[BaseModel], root: type[BaseModel]) -> str | None:
    """The path of the only field of this name, if it belongs to another place; otherwise None."""
    found = [path for path in _paths(root) if path.rpartition(".")[2] == to_camel(name)]
    return found[0] if len(found) == 1 and to_camel(name) not in _fields(holder) else None


def _missing(name: str, holder: type[BaseModel] | None) -> str:
    field = _fields(holder).get(name) if holder is not None else None
    model = _nested(field.annotation) if field is not None else None
    about = (field.description if field is not None else None) or (model.__doc__ if model is not None else None)
    return "is missing" if about is None else f"is missing. Its meaning: {' '.join(about.split())}"


def _left_empty(value: object, model: type[BaseModel] | None) -> str:
    """A hint for `job:` with nothing behind it, which YAML reads as null and everybody means as {}."""
    if not isinstance(value, Mapping) or model is None:
        return ""
    for name, field in _fields(model).items():
        if name in value and value[name] is None:
            nested = _nested(field.annotation)
            bare = nested is not None and not any(f.is_required() for f in nested.model_fields.values())
            return f"; {name} is present without a value" + (f": write {name}: {{}}" if bare else "")
    return ""


def _is_plain(value: object) -> bool:
    return not isinstance(value, Mapping)


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _nested(annotation: Any) -> type[BaseModel] | None:
    """The model inside an annotation such as `list[EnvVar] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_nested, get_args(annotation))), None)


def _model_at(model: type[BaseModel] | None, place: Place) -> type[BaseModel] | None:
    """The model of the value at `place`, also inside lists; None inside a map of plain values."""
    for part in place:
        if model is None:
            return None
        if isinstance(part, str):
            field = _fields(model).get(part)
            model = _nested(field.annotation) if field is not None else None
    return model


def _value_at(document: object, place: Place) -> object:
    for part in place:
        if isinstance(document, Mapping):
            document = document.get(part)
        elif isinstance(document, list) and isinstance(part, int) and part < len(document):
            document = document[part]
        else:
            return None
    return document


def _paths(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every field that a user may set, as a dotted path."""
    for name, field in _fields(model).items():
        if name == "status" and not prefix:
            continue
        yield prefix + name
        nested = _nested(field.annotation)
        if nested is not None:
            yield from _paths(nested, f"{prefix}{name}.")
