"""`space.yaml`: the declared search space of a task, for agents without an LLM and the frames of directions.

Read by the gateway (does an experiment lie in its direction's frame?) and by the policy agents. Names and the
order of values carry no meaning: an agent may use only what is declared here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, MutableMapping
from itertools import product
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from rloop.api.common import Model, Path, StructuralField, Word
from rloop.api.reading.wording import shown, structural, wanted_number

Scalar = str | int | float | bool
Point = dict[str, Scalar]
"""Dimension name -> value, for exactly those dimensions that exist in the point's frame."""
Frame = dict[str, str]
"""Structural dimension name -> value as text."""
MAX_STRUCTURAL = 32
"""As many as `rloop.api.common.FrameValues` holds."""
MAX_VALUE = 256
"""Characters of a value, as `rloop.api.common.PointValues` holds them."""
MOST_STEPS = 2**16
"""Of a space that takes more steps to count nobody counts the points: no campaign tries them all."""


class Dimension(Model):
    """One dimension: a list of `values`, or a range from `low` to `high`."""

    name: Word
    """Name of the dimension; points and frames use it."""
    key: Annotated[str, Field(min_length=1, max_length=256)]
    """Key of the value in the file; dots separate nested mappings."""
    values: Annotated[list[Scalar], Field(min_length=2, max_length=64)] | None = None
    """All allowed values; their order means nothing. Null: a range."""
    low: float | None = None
    """Lower bound of a range, included."""
    high: float | None = None
    """Upper bound of a range, included."""
    log: bool = False
    """The range is searched on a logarithmic scale."""
    integer: bool = False
    """The range holds whole numbers only."""
    default: Scalar
    """Value in the unchanged task, and where the key is missing."""
    structural: bool = False
    """Part of the frame: changed only when a pivot is demanded."""
    field: StructuralField | None = None
    """Which structural field of a direction it belongs to."""
    when: Annotated[dict[Word, Annotated[list[Scalar], Field(min_length=1, max_length=64)]], Field(max_length=32)] = {}
    """It exists only where each named structural dimension has one of these values."""

    @model_validator(mode="after")
    def _values_or_range(self) -> Self:
        ranged = self.low is not None and self.high is not None
        if (self.values is not None) == ranged or (self.low is None) != (self.high is None):
            message = f'dimension "{self.name}": give either values, or low and high'
            raise ValueError(message)
        if self.values is not None and len({str(value) for value in self.values}) < len(self.values):
            message = f'dimension "{self.name}": two of its values have the same text'
            raise ValueError(message)
        if any(len(str(value)) > MAX_VALUE for value in self.values or []):
            message = f'dimension "{self.name}": a value has more than {MAX_VALUE} characters'
            raise ValueError(message)
        if self.values is not None and not self.admits(self.default):
            message = f'dimension "{self.name}": default {shown(self.default)} is not one of its values'
            raise ValueError(message)
        if self.structural and (wrong := structural(self.values, self.field, self.when)):
            message = f'dimension "{self.name}": a structural one {wrong}'
            raise ValueError(message)
        if self.low is not None and self.high is not None:
            self._check_range(self.low, self.high)
        return self

    def _check_range(self, low: float, high: float) -> None:
        if low >= high:
            message = f'dimension "{self.name}": low ({low}) must be less than high ({high})'
            raise ValueError(message)
        if self.log and low <= 0:
            message = f'dimension "{self.name}": a logarithmic range needs low greater than 0'
            raise ValueError(message)
        if isinstance(self.default, (str, bool)) or not low <= self.default <= high:
            message = f'dimension "{self.name}": default {shown(self.default)} is outside {low}..{high}'
            raise ValueError(message)
        if self.integer and not (low.is_integer() and high.is_integer() and float(self.default).is_integer()):
            message = f'dimension "{self.name}": integer: true needs whole numbers for low, high and default'
            raise ValueError(message)

    def admits(self, value: object) -> bool:
        """Whether `value` is one of the values, or a number in the range."""
        if self.values is not None:
            return any(type(value) is type(one) and value == one for one in self.values)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        assert self.low is not None
        assert self.high is not None
        return self.low <= value <= self.high and (not self.integer or float(value).is_integer())

    def stands_in(self, document: object) -> bool:
        """Whether a parsed file says this dimension's value."""
        for part in self.key.split("."):
            if not isinstance(document, Mapping) or part not in document:
                return False
            document = document[part]
        return True

    def as_text(self, value: Scalar) -> str:
        """The value as one text, whatever way the file writes it: 2 and 2.0 in a range are one point."""
        if self.values is not None:
            return str(value)
        return str(int(value)) if self.integer else repr(float(value))

    def of_text(self, text: str) -> Scalar | None:
        """The value that `as_text` wrote; None if this dimension does not admit it."""
        if self.values is not None:
            return next((value for value in self.values if str(value) == text), None)
        try:
            value = int(text) if self.integer else float(text)
        except ValueError:
            return None
        return value if self.admits(value) else None

    @property
    def size(self) -> float:
        """Number of its values; infinite for a range of real numbers."""
        if self.values is not None:
            return len(self.values)
        assert self.low is not None
        assert self.high is not None
        return math.floor(self.high) - math.ceil(self.low) + 1 if self.integer else math.inf

    @property
    def extent(self) -> str:
        """`n 1..3`, `anchor uniform|ema`."""
        if self.values is not None:
            return f"{self.name} {'|'.join(str(value) for value in self.values)}"
        return f"{self.name} {self.low:.10g}..{self.high:.10g}"


class Space(Model):
    """A task's search space."""

    file: Annotated[Path, Field(pattern=r"\.(yaml|yml|json)$")]
    """The file in the task that holds the values."""
    dimensions: Annotated[list[Dimension], Field(min_length=1, max_length=128)]
    """The dimensions; the order means nothing."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [dimension.name for dimension in self.dimensions]
        keys = [dimension.key for dimension in self.dimensions]
        nested = next((key for key in keys if any(other.startswith(f"{key}.") for other in keys)), None)
        if nested is not None:
            message = f'the key "{nested}" is a value of one dimension, but a mapping for another'
            raise ValueError(message)
        for what, items in (("name", names), ("key", keys)):
            twice = sorted({item for item in items if items.count(item) > 1})
            if twice:
                message = f"two dimensions have the {what} {', '.join(twice)}"
                raise ValueError(message)
        structural = {dimension.name: dimension for dimension in self.structural}
        if len(structural) > MAX_STRUCTURAL:
            message = f"{len(structural)} structural dimensions; the maximum is {MAX_STRUCTURAL}"
            raise ValueError(message)
        for dimension in self.dimensions:
            for name, values in dimension.when.items():
                if name not in structural:
                    message = f'dimension "{dimension.name}": when names "{name}", which is not a structural dimension'
                    raise ValueError(message)
                wrong = [value for value in values if not structural[name].admits(value)]
                if wrong:
                    message = f'dimension "{dimension.name}": when: {name} never has the value {shown(wrong[0])}'
                    raise ValueError(message)
        return self

    @property
    def structural(self) -> list[Dimension]:
        """The dimensions of the frame."""
        return [dimension for dimension in self.dimensions if dimension.structural]

    def existing(self, frame: Mapping[str, str]) -> Iterator[Dimension]:
        """The dimensions that exist in `frame`, structural ones first."""
        yield from self.structural
        for dimension in self.dimensions:
            here = all(frame.get(name) in {str(one) for one in values} for name, values in dimension.when.items())
            if here and not dimension.structural:
                yield dimension

    def points(self, frame: Mapping[str, str]) -> float:
        """How many points a frame has; infinite with a range of real numbers in it."""
        return math.prod(dimension.size for dimension in self.existing(frame) if not dimension.structural)

    @property
    def size(self) -> float:
        """How many points the space has; infinite too where the operator, which counts at Accept, would be held up."""
        choices = [[(one.name, str(value)) for value in one.values or []] for one in self.structural]
        steps_of_a_frame = sum(1 + sum(map(len, dimension.when.values())) for dimension in self.dimensions)
        if math.prod(map(len, choices)) * steps_of_a_frame > MOST_STEPS:
            return math.inf
        return sum(self.points(dict(values)) for values in product(*choices))

    def as_text(self, point: Mapping[str, Scalar]) -> dict[str, str]:
        """The point with its values as text: equal for all ways in which a file may write it."""
        return {one.name: one.as_text(point[one.name]) for one in self.dimensions if one.name in point}

    def of_text(self, values: Mapping[str, str]) -> Point | None:
        """The inverse of `as_text`; None if a name or value is not of this space."""
        known = {dimension.name: dimension for dimension in self.dimensions}
        found = {name: known[name].of_text(text) for name, text in values.items() if name in known}
        point = {name: value for name, value in found.items() if value is not None}
        return point if len(point) == len(values) else None

    def frame_of(self, point: Mapping[str, Scalar]) -> Frame:
        """The frame in which `point` lies."""
        return {dimension.name: str(point[dimension.name]) for dimension in self.structural}

    @property
    def default_frame(self) -> Frame:
        """The frame of the unchanged task."""
        return {dimension.name: str(dimension.default) for dimension in self.structural}

    def read(self, document: object) -> Point:
        """The point that a parsed `file` holds; a missing key means the default.

        Raises ValueError, naming the key, if a value is outside its dimension.
        """
        point: Point = {}
        for dimension in self.structural:
            point[dimension.name] = _value(document, dimension, self.file)
        for dimension in self.existing(self.frame_of(point)):
            point[dimension.name] = _value(document, dimension, self.file)
        return point

    def write(self, document: Mapping[str, Any], point: Mapping[str, Scalar]) -> dict[str, Any]:
        """A copy of the parsed `document` with the point's values; keys that do not exist there are gone."""
        result = _copy(document)
        self.change(result, point)
        return result

    def change(self, document: MutableMapping[str, Any], point: Mapping[str, Scalar]) -> None:
        """The same in the document itself, which may be one that keeps comments; equal values are not touched.

        Raises ValueError, naming the key, where a value is found instead of a mapping.
        """
        for dimension in self.dimensions:
            *path, last = dimension.key.split(".")
            holder: Any = document
            wanted = dimension.name in point
            for part in path:
                if wanted and part not in holder:
                    holder[part] = {}
                holder = holder.get(part)
                if not isinstance(holder, MutableMapping):
                    break
            if isinstance(holder, MutableMapping):
                _put(holder, last, point.get(dimension.name))
            elif wanted:
                message = f'"{dimension.key}": expected a mapping that contains "{last}"'
                raise ValueError(message)


def _put(holder: MutableMapping[str, Any], key: str, value: Scalar | None) -> None:
    if value is None:
        holder.pop(key, None)
    elif key not in holder or holder[key] != value or isinstance(holder[key], bool) != isinstance(value, bool):
        holder[key] = value


def _copy(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copy(value) if isinstance(value, Mapping) else value for key, value in document.items()}


def _value(document: object, dimension: Dimension, file: str) -> Scalar:
    found: object = document
    for part in dimension.key.split("."):
        if not isinstance(found, Mapping):
            message = f'"{dimension.key}": expected a mapping that contains "{part}"'
            raise ValueError(message)  # noqa: TRY004 -- one error type for all that is wrong with a document
        if part not in found:
            return dimension.default
        found = found[part]
    if not dimension.admits(found):
        if isinstance(found, str) and not any(isinstance(one, str) for one in dimension.values or ()):
            message = f'"{dimension.key}" {wanted_number(found, json=file.endswith(".json"))}'
            raise ValueError(message)
        wanted = (
            f"one of {', '.join(map(shown, dimension.values))}"
            if dimension.values is not None
            else f"a number in {dimension.low}..{dimension.high}"
        )
        message = f'"{dimension.key}" is {shown(found)}; space.yaml requires {wanted}'
        raise ValueError(message)
    assert isinstance(found, (str, int, float, bool))
    return found
