"""What is wrong with one value, in plain words, and what to write instead.

Called by `rloop.api.reading.problems`. The gotchas of YAML 1.1 are most of it: people write 0.05, on and 1e-6, and
YAML makes a float, a switch and a text of them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection, Mapping
from datetime import date
from typing import Any, get_args

from pydantic_core import ErrorDetails

from rloop.api import common
from rloop.api.workload import ENV_NAME_PATTERN

SWITCH = "YAML reads on, off, yes, no, true and false as booleans; put the word in quotes"
SHOWN = 60
"""Characters of a wrong value that are shown."""

PATTERNS = {
    common.DECIMAL_PATTERN: 'must be a decimal number, for example "0.05" or "1e-3"',
    common.AMOUNT_PATTERN: 'must be a decimal number that is not negative, for example "2.50"',
    common.DNS_LABEL_PATTERN: "may contain a-z, 0-9 and -, and must start and end with a letter or digit",
    common.DNS_SUBDOMAIN_PATTERN: ("may contain a-z, 0-9, - and ., and must start and end with a letter or digit"),
    common.METRIC_PATTERN: "may contain letters, digits, _, . and -, and must start with a letter or _",
    common.QUANTITY_PATTERN: "must be a quantity, for example 500m, 2 or 4Gi",
    common.SHA256_PATTERN: "must be a SHA-256 in hex: 64 characters, 0-9 and a-f",
    ENV_NAME_PATTERN: "may contain letters, digits and _, and must start with a letter or _",
    r"\.(yaml|yml|json)$": "must be a .yaml or .json file",
}


def sentence(detail: ErrorDetails, *, is_command: bool = False, hidden: Collection[str] = ()) -> str:
    """What is wrong with the value of `detail`, and the remedy, which offers none of the words `hidden`."""
    kind, value, context = detail["type"], detail["input"], {**detail.get("ctx", {}), "hidden": hidden}
    if kind == "list_type" and isinstance(value, str):
        items = value.split() if is_command else [value]
        return f"must be a list: write {json.dumps(items, ensure_ascii=False)}"
    about_type = TYPES.get(kind)
    if about_type is not None:
        return about_type(value)
    about_bound = BOUNDS.get(kind)
    if about_bound is not None:
        return about_bound(value, context)
    return f"{shown(value)} is not allowed here; docs/crd-reference.md lists the allowed values"


def shown(value: object) -> str:
    """A wrong value, short enough for a line."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _text(value: object) -> str:
    if isinstance(value, bool):
        return f"must be text. {SWITCH}"
    if isinstance(value, float) and not math.isfinite(value):
        return "must be a finite number, written as text, not NaN or infinity"
    if isinstance(value, int | float):
        return f'write it as a string: "{value}"'
    if isinstance(value, date):
        return f'must be text. YAML reads this as a date; write it as a string: "{value}"'
    return f"must be text, not {_sort(value)}"


def _sort(value: object) -> str:
    if value is None:
        return 'nothing (write "" for an empty text)'
    return "a list" if isinstance(value, list) else "a mapping" if isinstance(value, Mapping) else "this"


def _as_number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _whole(value: object) -> str:
    number = _as_number(value) if isinstance(value, str) else value
    if isinstance(number, float) and math.isfinite(number) and number.is_integer():
        found = f'"{value}"' if isinstance(value, str) else value
        return f"must be a whole number: write {int(number)} instead of {found}"
    return f"must be a whole number, not {shown(value)}"


def wanted_number(value: object, *, json: bool = False) -> str:
    """What is wrong with a value that is no number, and how the number in it is written. `json`: in a JSON file."""
    number = _as_number(value) if isinstance(value, str) else None
    if number is not None:
        why = "without quotes" if json else "YAML reads quoted values, and 1e-3, as text"
        return f"must be a number: write {_written(number)} ({why})"
    return f"must be a number, not {shown(value)}"


def structural(values: object, field: object, when: object) -> str:
    """What a structural dimension lacks or has too much; empty where nothing is wrong."""
    parts = (
        ("" if values else "needs values instead of a range"),
        ("" if field else f"needs a field: {', '.join(get_args(common.StructuralField))}"),
        ("cannot have when: remove it" if when else ""),
    )
    return "; it ".join(part for part in parts if part)


def _written(number: float) -> str:
    """As YAML and JSON both read it: for YAML 1e-06 is text."""
    mantissa, letter, exponent = repr(number).partition("e")
    if not letter:
        return str(int(number)) if number.is_integer() else mantissa
    return f"{float(mantissa)}e{exponent[0]}{exponent[1:].lstrip('0')}"


def _one_of(value: object, context: Mapping[str, Any]) -> str:
    words = [word for word in re.findall(r"'([^']*)'", context["expected"]) if word not in context["hidden"]]
    text = f"must be {words[0]}" if len(words) == 1 else f"must be one of {', '.join(words)}"
    if isinstance(value, bool):
        return f"{text}. {SWITCH}"
    same = [word for word in words if isinstance(value, str) and word.lower() == value.lower()]
    return f"{text}; write {same[0]}: case matters" if same else f"{text}, not {shown(value)}"


def _spelling(value: object, context: Mapping[str, Any]) -> str:
    pattern = context["pattern"]
    words = PATTERNS.get(pattern, f"must match the expression {pattern}")
    if pattern in (common.DECIMAL_PATTERN, common.AMOUNT_PATTERN):
        text = str(value).strip()
        if text.lower().lstrip("+-.") in {"nan", "inf", "infinity"}:
            return f"{words}: NaN and infinity are not allowed"
        if _as_number(text.replace(",", ".")) is not None and "," in text:
            return f"{words}: write a decimal point instead of the comma"
        if text.endswith("%"):
            return f"{words}: write a fraction instead of a percentage"
    return f"{words}; found {shown(value)}"


def _items(count: int) -> str:
    return f"{count} item" if count == 1 else f"{count} items"


TYPES: Mapping[str, Callable[[Any], str]] = {
    "string_type": _text,
    "int_type": _whole,
    "int_from_float": _whole,
    "float_type": wanted_number,
    "finite_number": lambda _value: "must be a finite number, not NaN or infinity",
    "bool_type": lambda value: f"must be true or false, without quotes, not {shown(value)}",
    "list_type": lambda value: f"must be a list, not {shown(value)}",
    "dict_type": lambda value: f"must be a mapping of names to values, not {shown(value)}",
    "model_type": lambda value: f"must be a mapping, not {shown(value)}",
}
BOUNDS: Mapping[str, Callable[[Any, Mapping[str, Any]], str]] = {
    "greater_than_equal": lambda value, context: f"must be at least {context['ge']}, not {value}",
    "less_than_equal": lambda value, context: f"must be at most {context['le']}, not {value}",
    "too_short": lambda _value, context: f"needs at least {_items(context['min_length'])}",
    "too_long": lambda value, context: f"holds {_items(len(value))}; at most {context['max_length']} are allowed",
    "string_too_short": lambda _value, _context: "is empty; give a value or omit the field",
    "string_too_long": lambda value, context: f"has {len(value)} characters; at most {context['max_length']} fit",
    "string_pattern_mismatch": _spelling,
    "literal_error": _one_of,
}
