"""A line of an agent's log as readable text.

Used by `rloop logs` for a run folder and for a cluster. Our agent image writes JSON lines with `ts`, `level` and
`event`; the lines of any other program are left as they are.
"""

from __future__ import annotations

import json
import re

from rloop_operator.cli.terminal import words

AGENT = re.compile(r"-s\d+-a\d+$")
"""The end of the name of a session's process (`rloop.names.agent`)."""
FIRST = ("ts", "level", "event")


def log_line(workload: str, line: str) -> str:
    """The line of this workload's log, without control sequences."""
    return _readable(line) if AGENT.search(workload) else words.clean(line)


def _readable(line: str) -> str:
    """`23:29:05 model    I turn the numbers.`, or `23:29:05 info     started  session=…`."""
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    if not isinstance(record, dict) or not all(isinstance(record.get(key), str) for key in FIRST):
        return words.clean(line)
    time, level, event = record["ts"][11:19], record["level"], record["event"]
    facts = {key: value for key, value in record.items() if key not in FIRST}
    if facts.keys() == {"text"}:  # what the model of a coding agent says or does
        return words.line_kept(f"{time} {event:<8} {words.line(str(facts['text']))}")
    told = "  ".join(f"{key}={_value(value)}" for key, value in facts.items())
    return words.line_kept(f"{time} {level:<8} {event}  {told}").rstrip()


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
