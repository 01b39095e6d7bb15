"""The brief: the first message of a session, made from the gateway's context.

Called by the session. The most important parts come first. The length is bounded: each part has its share, and what
does not fit is named with the tool that shows it. All text written by a program, a file or an earlier session is fenced
as data; only the campaign's direction and rules are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rloop.api.iteration import Finding
from rloop.api.session_context import Context
from rloop.api.space import Space
from rloop_agent.llm import roles
from rloop_agent.llm.fence import clip, fenced, rows
from rloop_agent.llm.tools.scratch import DRAFTS
from rloop_agent.llm.tools.session_state import as_json, as_row, experiments_left


def brief(context: Context, files: Sequence[str], room: int, *, rounds: bool) -> str:
    """The message, of at most about `room` characters. `rounds`: whether whoever reads it is limited by them."""
    room = max(room, 4000)
    if not rounds:
        context = context.changed(session=context.session.changed(max_rounds=0))
    if context.session.role == "Check":
        return "\n\n".join(_claims(context, room))
    if context.session.role == "Report":
        return "\n\n".join(_whole_campaign(context, room))
    return "\n\n".join(_parts(context, files, room))


def _parts(context: Context, files: Sequence[str], room: int) -> Iterator[str]:
    yield f"# The campaign {context.loop}, session {context.session.name}"
    yield f"The director's words:\n\n{context.direction}"
    if context.rules:
        yield "Rules:\n" + "\n".join(f"- {rule}" for rule in context.rules)
    yield "Where it stands, and what you may use:\n" + rows("campaign", [_standing(context)], room)
    if context.demand == "Pivot":
        yield roles.pivot(context.session.name)
    if context.handoff is not None:
        source = f"handoff of {context.handoff.session}"
        yield "What the last session left:\n" + fenced(source, clip(context.handoff.text, room // 8))
        if context.handoff.drafts:
            yield f"It left unfinished files too: they lie in {DRAFTS}/ of your copy, to be read and taken over."
    for failed in context.failures:
        yield "An experiment that failed. If its idea is worth it: diagnose, repair, submit again."
        log = fenced(f"end of the log of {failed.name}", clip(failed.log_tail, room // 24))
        yield f"{fenced(failed.name, as_json(**as_row(failed)))}\n{log}"
    if context.incumbent.files:
        changed = ", ".join(sorted(context.incumbent.files))
        yield f"Your copy of the task is as the incumbent {context.incumbent.name} has it, which changed {changed}."
    else:
        yield "Your copy of the task is as the task itself, which is the incumbent."
    yield "Its files:\n" + fenced("files", clip("\n".join(files), room // 8))
    if told := optimiser(context):
        yield told
    yield from _story(context, room)
    if context.references:
        yield f"There are {context.references} papers and documents: read_references lists them."
    yield from _begin(context)


def _whole_campaign(context: Context, room: int) -> Iterator[str]:
    """The parts for a report writer: what was tried and measured."""
    yield f"# The campaign {context.loop} is over, session {context.session.name}"
    yield f"The director's words were:\n\n{context.direction}"
    yield "Where it ended, and what you may use:\n" + rows("campaign", [_standing(context)], room)
    yield from _story(context, 2 * room)
    yield from _begin(context)


def _story(context: Context, room: int) -> Iterator[str]:
    yield "Directions that were tried, the newest last:\n" + rows(
        "directions", map(_direction, context.directions), room // 6
    )
    found = [_finding(one) for one in context.findings]
    if found:
        yield "Findings, and what a checker said of them:\n" + rows("findings", found, room // 8)
    yield "Results (read_results shows all):\n" + rows("results", map(as_row, context.results), room // 4)


def _begin(context: Context) -> Iterator[str]:
    if context.left_out:
        yield "Left out of this brief:\n" + fenced("left out", "\n".join(context.left_out))
    yield "Begin. Every reply is to contain tool calls, until finish."


def _claims(context: Context, room: int) -> Iterator[str]:
    """The parts for a checker: the claims and their measurements, without anybody's expectations."""
    yield f"# Claims of the campaign {context.loop}, for session {context.session.name}"
    yield "What is measured, and what you may use:\n" + rows("campaign", [_standing(context)], room)
    for claim in context.claims:
        yield f"Claim {claim.name}:\n" + fenced(claim.name, clip(claim.statement, room // 4))
        found = ({**as_row(one), "values": one.values} for one in claim.evidence)
        yield f"Its evidence:\n{rows(f'evidence of {claim.name}', found, room // 2)}"
    if context.results:
        yield "What it was compared with:\n" + rows("results", map(as_row, context.results), room // 4)
    yield from _begin(context)


def _standing(context: Context) -> dict[str, Any]:
    objective, session = context.objective, context.session
    standing = {
        "session": session.name,
        "role": session.role,
        "demand": context.demand,
        "metric": objective.metric,
        "goal": objective.goal,
        "target": objective.target,
        "minimum_gain": objective.minimum_gain,
        "final": context.final and context.final.model_dump(mode="json"),
        "baseline": context.baseline,
        "noise_between_runs": context.noise,
        "incumbent": {
            "name": context.incumbent.name,
            "value": context.incumbent.value,
            "frame": context.incumbent.frame,
        },
        "current_direction": context.current_direction,
        "rounds": session.max_rounds or None,
        "seconds": session.session_seconds,
        "tokens": session.max_tokens or None,
        "experiments_left": experiments_left(context),
        "smoke_tests": session.max_smokes,
        "editable": context.editable,
        "max_files": context.max_files,
        "max_lines_per_file": context.max_lines_per_file,
        "space": space(context.space) if context.space else None,
        "run": context.run and context.run.command,
    }
    return {name: value for name, value in standing.items() if value is not None or name == "demand"}


def space(found: Space) -> dict[str, Any]:
    """The values or ranges in `space.yaml`."""
    return {
        "file": found.file,
        "structural": {one.name: one.values for one in found.structural},
        "other": {one.key: one.values or [one.low, one.high] for one in found.dimensions if not one.structural},
    }


def optimiser(context: Context) -> str:
    """What the policy beside the model is for; empty if there is none."""
    policy = context.session.policy
    if policy is None or context.space is None:
        return ""
    return (
        f"This campaign has an optimiser ({policy.name}), which knows all results. You choose the frame, change the "
        "code, and may narrow ranges; leave the numbers inside a frame to it: tune submits your copy with numbers that "
        "it chooses, suggest only shows them."
    )


def _finding(finding: Finding) -> dict[str, Any]:
    row = finding.model_dump(
        mode="json", exclude_none=True, include={"name", "statement", "evidence", "checked", "reason"}
    )
    return {name: value for name, value in row.items() if value}


def _direction(direction: Any) -> dict[str, Any]:
    row = {"name": direction.name, "title": direction.title, **direction.fields, "frame": direction.frame}
    return {name: value for name, value in row.items() if value or name == "frame"}
