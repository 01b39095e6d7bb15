"""Shapes of JSON values, and copying of a value restricted to what its shape names.

The tables in this folder consist of these shapes; `request_check` applies them. A provider gets the copy, so it never
sees a field that was not checked. In an object with a `Fields` shape each field is copied, rejected, or left out and
recorded. `DATA` is for values that the API itself treats as opaque, such as the JSON schema of a tool.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

INDEX = re.compile(r"\[\d+\]")
VERSION = re.compile(r"_\d{8}$")
NAMES_MAX = 32
"""Maximum number of names of left out parts that are recorded per request."""
NAME_CHARS = 80
WHOLE_MAX = 10_000_000
"""Largest accepted limit of an answer's tokens; a larger one could not be reserved."""


class NotAllowed(Exception):
    """A request contains something that is not passed on. The message is a sentence that begins with the field."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path} {why}")
        self.path = path


class LeftOut:
    """Names of the parts that were not copied, without indexes and without duplicates."""

    def __init__(self) -> None:
        self.names: dict[str, None] = {}

    def add(self, path: str) -> None:
        """Record one name. It is the client's text: truncated, and cleaned for headers and log lines."""
        if len(self.names) < NAMES_MAX:
            name = "".join(char if char.isascii() and char.isprintable() else "?" for char in INDEX.sub("[]", path))
            self.names[name[:NAME_CHARS].strip().replace(",", "?")] = None


ABSENT: Final = object()
"""Returned instead of a value: the field is not copied."""


class Shape(Protocol):
    """Which values are accepted."""

    def take(self, value: Any, path: str, left_out: LeftOut) -> Any:
        """The copy of the value, or ABSENT. Raises NotAllowed."""


class _Data:
    def take(self, value: Any, path: str, left_out: LeftOut) -> Any:
        del path, left_out
        return value


class _Scalar:
    def take(self, value: Any, path: str, left_out: LeftOut) -> Any:
        del left_out
        if isinstance(value, dict | list):
            raise NotAllowed(path, "must be text, a number, true or false")
        return value


class _Whole:
    def take(self, value: Any, path: str, left_out: LeftOut) -> Any:
        del left_out
        if value is not None and (type(value) is not int or not 0 <= value <= WHOLE_MAX):
            raise NotAllowed(path, f"must be a whole number between 0 and {WHOLE_MAX}")
        return value


class _Switch:
    def take(self, value: Any, path: str, left_out: LeftOut) -> Any:
        del left_out
        if value is not None and type(value) is not bool:
            raise NotAllowed(path, "must be true or false")
        return value


class _Inline:
    """A `data:` URL, or bare base64, which never contains a colon."""

    def __init__(self, *, bare: bool) -> None:
        self.bare = bare

    def take(self, value: Any, path: str, left_out: LeftOut) -> Any:
        del left_out
        if isinstance(value, str) and (value.startswith("data:") or (self.bare and ":" not in value)):
            return value
        raise NotAllowed(
            path, "must contain the content itself (a data: URL): the provider must not fetch anything for an agent"
        )


class _Stripped:
    def take(self, value: Any, path: str, left_out: LeftOut) -> Any:
        if value is not None:
            left_out.add(path)
        return ABSENT


DATA = _Data()
SCALAR = _Scalar()
WHOLE = _Whole()
SWITCH = _Switch()
INLINE_URL = _Inline(bare=False)
INLINE = _Inline(bare=True)
STRIPPED = _Stripped()
"""Never passed on, without harm to the client: left out and recorded."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A field that requests something the proxy does not pass on. A falsy value is left out."""

    why: str

    def take(self, value: Any, path: str, left_out: LeftOut) -> Any:
        """See Shape."""
        del left_out
        if value:
            raise NotAllowed(path, f"is rejected: {self.why}")
        return ABSENT


@dataclass(frozen=True, slots=True)
class OneOf:
    """A field for which only some values are accepted."""

    values: tuple[Any, ...]
    why: str

    def take(self, value: Any, path: str, left_out: LeftOut) -> Any:
        """See Shape."""
        del left_out
        if value is None or value in self.values:
            return value
        raise NotAllowed(path, f'"{str(value)[:64]}" is rejected: {self.why}')


@dataclass(frozen=True, slots=True)
class ScalarOr:
    """A scalar, or the other shape: most contents are a text or a list of parts."""

    other: Shape

    def take(self, value: Any, path: str, left_out: LeftOut) -> Any:
        """See Shape."""
        return self.other.take(value, path, left_out) if isinstance(value, dict | list) else value


@dataclass(frozen=True, slots=True)
class Items:
    """A list of such values, without those whose copy is ABSENT."""

    of: Shape

    def take(self, value: Any, path: str, left_out: LeftOut) -> Any:
        """See Shape."""
        if value is None:
            return None
        if not isinstance(value, list):
            raise NotAllowed(path, "must be a list")
        if isinstance(self.of, Kinds | Fields) and None in value:
            raise NotAllowed(f"{path}[{value.index(None)}]", "must be an object")
        taken = (self.of.take(one, f"{path}[{index}]", left_out) for index, one in enumerate(value))
        return [one for one in taken if one is not ABSENT]


@dataclass(frozen=True, slots=True)
class Fields:
    """An object with these fields. Other fields are left out and recorded, or rejected if the shape is `closed`."""

    fields: Mapping[str, Shape]
    required: tuple[str, ...] = ()
    closed: bool = False

    def take(self, value: Any, path: str, left_out: LeftOut) -> Any:
        """See Shape."""
        if value is None:
            return None
        if not isinstance(value, dict):
            raise NotAllowed(path or "the body", "must be an object")
        for name in self.required:
            if name not in value:
                raise NotAllowed(path, f"has no {name}")
        copy = {}
        for name, one in value.items():
            at = f"{path}.{name}" if path else name
            shape = self.fields.get(name)
            if shape is None and self.closed:
                raise NotAllowed(at[:NAME_CHARS], f"is rejected: {self._remedy(name)}")
            if shape is None:
                left_out.add(at)
            elif (taken := shape.take(one, at, left_out)) is not ABSENT:
                copy[name] = taken
        return copy

    def _remedy(self, name: str) -> str:
        meant = next((one for one in self.fields if one.lower() == name.lower()), None)
        return f"write {meant}" if meant else "the proxy does not pass on this field; remove it"


@dataclass(frozen=True, slots=True)
class Kinds:
    """An object whose fields depend on its `type`. A date at the end of a type is a version and is ignored."""

    kinds: Mapping[str, Fields]
    usual: str | None = None
    """The kind of an object without a type."""
    others: str = "the proxy does not pass on this kind"
    """Why other kinds are rejected."""
    leaves_out: bool = False
    """Leave out and record other kinds instead of rejecting them."""
    common: Mapping[str, Shape] = field(default_factory=dict)
    """Fields that all kinds have."""

    def take(self, value: Any, path: str, left_out: LeftOut) -> Any:
        """See Shape. Null is left out: some clients write every option that is not set."""
        if value is None:
            return ABSENT
        if not isinstance(value, dict):
            raise NotAllowed(path, "must be an object")
        kind = value.get("type", self.usual)
        kind = self.usual if kind is None else kind
        if not isinstance(kind, str):
            raise NotAllowed(f"{path}.type", "must be text")
        known = self.kinds.get(kind) or self.kinds.get(VERSION.sub("", kind))
        if known is None and self.leaves_out:
            left_out.add(f"{path}.{kind}")
            return ABSENT
        if known is None:
            raise NotAllowed(path, f'of type "{kind[:64]}" is rejected: {self.others}')
        fields = {"type": SCALAR} | dict(self.common) | dict(known.fields)
        return Fields(fields, known.required).take(value, path, left_out)


def scalars(*names: str) -> dict[str, Shape]:
    """Fields that contain a scalar each."""
    return dict.fromkeys(names, SCALAR)
