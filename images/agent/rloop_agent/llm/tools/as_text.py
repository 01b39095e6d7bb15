"""Tools for a model that calls them as text: the table that it reads, and the JSON schema of one call.

Called by the session where `agent.llm.toolCalls` is Text, or where a model has made no call by the API's tools. The
schema offers only what can work now, so that a small model has one decision to make and few ways to waste it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rloop.api.session_context import Context
from rloop.api.space import Dimension, Space
from rloop_agent.llm import roles
from rloop_agent.llm.tools import registry
from rloop_agent.llm.tools.files import LISTED, TRIED
from rloop_agent.llm.tools.research import early
from rloop_agent.llm.tools.session_state import SessionState

HOW = """\
You call tools by text. Reply with exactly one call, as JSON and nothing else:
{"name": "TOOL", "arguments": {"ARGUMENT": "VALUE"}}
Then you get its result, and reply with the next call. The tools:
"""
PROSE = {"title": 100, "hypothesis": 200, "method": 200, "statement": 400, "reason": 400, "handoff": 600}
"""Characters of an argument that is prose: small models write on until they are stopped."""
NEXT = "Reply with the next call."
NEXT_IS_FINISH = "No experiment is left: reply with a call of finish."
CHANGING = frozenset({"write_file", "edit_file", "set_values", "reset_files", "try", "tune"})
"""Tools that serve another experiment, under a direction."""
OF_CHANGES = frozenset({"submit_experiment", "reset_files", "try"})
"""Tools that have nothing to work on while the copy is unchanged."""
EVIDENCE_MAX = 4
"""Names in a list: small models repeat them until they are stopped."""
NAMED_MAX = 64
"""As many files, experiments or claims are offered by their names; of more the model may name any."""


def table(state: SessionState) -> str:
    """How a call is written, and a line for each tool."""
    return HOW + "\n".join(_line(tool, parameters) for tool, parameters in _known(state.context))


def schema(state: SessionState, loops: frozenset[str] = frozenset(), *, last: bool) -> dict[str, Any]:
    """The JSON schema of one call that makes sense now. `loops` are tools whose calls have come to nothing here."""
    known = {tool["name"]: parameters for tool, parameters in _known(state.context)}
    changed, unread = bool(state.missing()), _unread(state)
    names = ["finish"] if last else [name for name in known if _possible(name, state, unread, changed=changed)]
    names = [name for name in names if name not in loops] or names
    for tool, argument, choice in _choices(state, unread):
        if tool in names and 0 < len(choice) <= NAMED_MAX:
            one = {"enum": choice}
            is_list = argument == "evidence"
            several = {"type": "array", "items": one, "minItems": 1, "maxItems": min(len(choice), EVIDENCE_MAX)}
            known[tool]["properties"][argument] = several if is_list else one
    if "tune" in names:
        known["tune"]["properties"]["experiments"]["maximum"] = state.experiments_left
    return {"anyOf": [_one(name, known[name]) for name in names]}


def next_call(state: SessionState) -> str:
    """The sentence after the results of a reply."""
    return NEXT if state.experiments_left or state.context.session.role in roles.CLOSING else NEXT_IS_FINISH


def _known(context: Context) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each tool of the session with the parameters that it needs: what may be left out is one decision less."""
    useless = {"run_command", "suggest"}  # `try` and `tune` do what they are needed for
    if context.space is not None:
        if all(one.structural for one in context.space.dimensions) or context.session.policy is not None:
            useless.add("set_values")  # a direction's frame has them all, or the optimiser chooses them
        if context.editable == [context.space.file]:
            useless |= {"write_file", "edit_file"}  # values by their names are all that may be changed
    for one in registry.descriptions(context):
        tool, parameters = one["function"], one["function"]["parameters"]
        if tool["name"] in useless:
            continue
        if tool["name"] == "propose_direction":
            yield tool, _direction(parameters, context.space)
            continue
        if tool["name"] == "set_values" and context.space is not None:
            yield tool, _values(parameters, context.space)
            continue
        needed = {name: parameters["properties"][name] for name in parameters.get("required", [])}
        yield tool, {**parameters, "properties": needed}


def _one(name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    for field, most in PROSE.items():
        if field in parameters["properties"]:
            parameters["properties"][field]["maxLength"] = most
    properties = {"name": {"enum": [name]}, "arguments": {**parameters, "additionalProperties": False}}
    return {
        "type": "object",
        "properties": properties,
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def _direction(parameters: dict[str, Any], space: Space | None) -> dict[str, Any]:
    """A direction with what is needed: a hypothesis and, with a space, a frame of its values; without one a method."""
    own = parameters["properties"]
    if space is None:
        kept = {name: own[name] for name in ("title", "hypothesis", "method")}
    else:
        values = {one.name: {"enum": [str(value) for value in one.values or []]} for one in space.structural}
        frame = {"type": "object", "properties": values, "required": list(values), "additionalProperties": False}
        kept = {"title": own["title"], "hypothesis": own["hypothesis"], "frame": frame}
    return {**parameters, "properties": kept, "required": list(kept)}


def _choices(state: SessionState, unread: list[str]) -> Iterator[tuple[str, str, list[str]]]:
    """Arguments that are names, with all that make sense now: (tool, argument, names)."""
    yield "read_file", "path", unread
    yield "record_finding", "evidence", state.measured()
    if state.context.session.role == "Check":
        yield "judge_finding", "name", state.unjudged()
        evidence = [one for claim in state.context.claims for one in claim.evidence]
        yield "read_experiment", "name", list(dict.fromkeys(one.name for one in [*evidence, *state.context.results]))


def _values(parameters: dict[str, Any], space: Space) -> dict[str, Any]:
    """Values within a frame: what is structural a direction says."""
    free = {one.name: _value(one) for one in space.dimensions if not one.structural}
    values = {"type": "object", "properties": free, "additionalProperties": False}
    return {**parameters, "properties": {"values": values}}


def _value(dimension: Dimension) -> dict[str, Any]:
    """The schema of one value: a choice, or a number between two ends."""
    if dimension.values is not None:
        return {"enum": dimension.values}
    kind = "integer" if dimension.integer else "number"
    return {"type": kind, "minimum": dimension.low, "maximum": dimension.high}


def _possible(name: str, state: SessionState, unread: list[str], *, changed: bool) -> bool:
    """Whether the call could do anything: what only has an error for an answer is not offered."""
    results = bool(state.proposed or state.smokes or state.context.results)
    closing = state.context.session.role in roles.CLOSING
    may_change = bool(state.experiments_left and state.has_direction)
    # One finding for each of its own experiments: small models record opinions until the session is over.
    opinion = name == "record_finding" and len(state.findings) >= len(state.proposed) and not closing
    if (name in CHANGING and not may_change) or (name in OF_CHANGES and not changed) or opinion:
        return False
    match name:
        case "propose_direction":
            # One is enough for a first experiment; another one mends a file that has left its frame.
            wanted = not state.directions or bool(state.proposed) or bool(state.obstacle())
            return wanted and bool(state.experiments_left)
        case "submit_experiment" | "tune":
            return state.has_direction and not state.obstacle()
        # What would show nothing that the model does not have before it is not offered either.
        case "try":
            return state.shown.get(TRIED) != state.fingerprint()
        case "list_files":
            return state.shown.get(LISTED) != "\n".join(state.scratch.paths())
        case "read_file":
            return bool(unread)
        case "read_results" | "read_experiment" | "record_finding":
            return results or bool(state.context.claims) or state.context.session.role == "Report"
        case "wait_for_results":
            return bool(state.proposed or state.smokes)
        case "finish":
            return not early(state) or state.pushed_back
        case _:
            return True


def _unread(state: SessionState) -> list[str]:
    """Files that the model does not have before it as they are now."""
    known = state.shown
    return [path for path in state.scratch.paths() if path not in known or not state.scratch.holds(path, known[path])]


def _line(tool: dict[str, Any], parameters: dict[str, Any]) -> str:
    first = tool["description"].partition(". ")[0].rstrip(".")
    return f"- {tool['name']}({', '.join(parameters['properties'])}): {first}."
