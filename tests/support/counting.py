"""How much work a call does, in bytecode instructions: the same on every machine, however busy it is."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def instructions(do: Callable[[], object]) -> int:
    """Instructions of Python that the call executes; what C code does inside one of them does not count."""
    count = 0

    def each(_frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal count
        count += event == "opcode"
        return each

    def called(frame: FrameType, _event: str, _argument: object) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return each

    before = sys.gettrace()
    sys.settrace(called)
    try:
        do()
    finally:
        sys.settrace(before)
    return count
