"""The script `researcher`: an honest session, played by rules.

It reads the campaign with the tools, takes an untried frame when a pivot is demanded, varies what `space.yaml`
declares, submits, looks at results, records what they show and hands over. What it proposes comes from the policy
agent's random search and from chance that is seeded by model and session (`researcher:7`): a scripted searcher. Where
the campaign has an optimiser, that chooses the numbers. The script knows no good answer beforehand, and says nothing
about what a language model would find.
"""

from __future__ import annotations

import json
import re
from random import Random
from typing import Any

import yaml
from tests.models.conversation import Conversation, Reply, data

from rloop.api.space import Frame, Point, Space
from rloop_agent import recipe
from rloop_agent.policies import random_search
from rloop_agent.policies.frames import as_text, untried
from rloop_agent.policies.ground import Ground, centre

AT_ONCE = 2
"""Experiments in one reply: a model may call several tools at once, and some do."""
REFUSALS = 8
NOT_KEPT = "were not kept"


def play(told: Conversation) -> Reply:
    """The next reply."""
    (campaign,) = told.rows("campaign")
    if campaign["role"] == "Check":
        return _check(told)
    if campaign["role"] == "Report":
        return _report(told, campaign)
    looked = told.results("read_file")
    if not looked:
        return Reply("I look at the task first.").call("list_files").call("read_file", path="space.yaml")
    space = Space.model_validate(yaml.safe_load(data(looked[0])))
    if len(looked) == 1:
        return Reply("Now the recipe.").call("read_file", path=space.file)
    dice = Random(f"{told.model.partition('+')[0]}/{campaign['session']}")
    text = data(looked[1])
    document = json.loads(text)
    start = space.read(document)
    frame = _frame(told, campaign, space, start, dice)
    if isinstance(frame, Reply):
        return frame
    if "tune" in told.tools:
        return _delegate(told, campaign, frame)
    submitted = [one for one in told.results("submit_experiment") if '"name"' in one]
    tries = len(told.results("submit_experiment"))
    if tries < campaign["experiments_left"] + REFUSALS and len(submitted) < campaign["experiments_left"]:
        reply = Reply(f"I vary what is untried in {as_text(frame)}.")
        points = _points(space, frame, start, dice, pivoting=campaign["demand"] == "Pivot", upto=tries + AT_ONCE)
        left = campaign["experiments_left"] - len(submitted)
        for point in points[tries:][: min(AT_ONCE, left)]:
            reply.call("write_file", path=space.file, content=recipe.render(space, text, document, point))
            reply.call("submit_experiment", title=_title(space, frame, point))
        if reply.calls:
            return reply
    return _closing(told, frame, submitted)


def _check(told: Conversation) -> Reply:
    """A checker by rule: a claim is supported if all it rests on was kept, or if it says that nothing of it was."""
    names = re.findall(r'<data source="evidence of ([^"]+)">', told.brief)
    judged = len(told.results("judge_finding"))
    if judged == len(names):
        return Reply("All are judged.").call("finish", handoff=f"Judged {judged} claims by a rule.")
    rows = told.rows(f"evidence of {names[judged]}")
    kept = [row["name"] for row in rows if row["phase"] == "Accepted"]
    reason = f"{len(kept)} of {len(rows)} experiments in its evidence were kept"
    wanted = 0 if re.search(rf'<data source="{names[judged]}">\n[^<]*{NOT_KEPT}', told.brief) else len(rows)
    supported = bool(rows) and len(kept) == wanted
    return Reply(reason).call("judge_finding", name=names[judged], supported=supported, reason=reason)


def _report(told: Conversation, campaign: dict[str, Any]) -> Reply:
    """A report writer by rule: what was kept in the end, and how many proposals were not."""
    rows = told.rows("results")
    measured = [row["name"] for row in rows if row.get("value") is not None]
    if told.results("record_finding") or not measured:
        return Reply("That is the report.").call("finish", handoff="Reported by a rule.")
    best = campaign["incumbent"]
    reply = Reply("What is measured, and nothing else.")
    if best["name"] in measured:
        said = f"The best of the campaign is {best['name']} with {campaign['metric']} {best['value']:g}."
        reply.call("record_finding", statement=said, evidence=[best["name"]])
    rejected = [row["name"] for row in rows if row["phase"] == "Rejected" and row["name"] in measured][:32]
    if rejected:
        said = f"Of the measured proposals these {len(rejected)} {NOT_KEPT}."
        reply.call("record_finding", statement=said, evidence=rejected)
    return reply if reply.calls else reply.call("finish", handoff="There is nothing to report.")


def _frame(told: Conversation, campaign: dict[str, Any], space: Space, start: Point, dice: Random) -> Frame | Reply:
    """The frame to work in; or the proposal of one, where it is not admitted yet."""
    directions = told.rows("directions")
    own = space.frame_of(start)
    present: Frame = directions[-1]["frame"] if directions else space.default_frame
    if directions and campaign["demand"] != "Pivot":
        return present
    proposals = told.results("propose_direction")
    admitted = [one for one in proposals if '"frame"' in one]
    if admitted:
        frame: Frame = json.loads(data(admitted[-1]))["frame"]
        return frame
    if len(proposals) >= REFUSALS:
        return Reply("No direction passes.").call("finish", handoff=f"No direction was admitted: {proposals[-1]}")
    if campaign["demand"] != "Pivot":
        candidates = [space.default_frame]
    else:
        tried = [*(one["frame"] for one in directions), space.default_frame, own]
        candidates = list(untried(space, own, tried, dice))
    chosen = candidates[min(len(proposals), len(candidates) - 1)]
    fields = {one.field: f"{one.name}={chosen[one.name]}" for one in space.structural if one.field}
    reply = Reply("Something must change in kind, not in degree." if campaign["demand"] else "The first direction.")
    return reply.call("propose_direction", title=as_text(chosen), frame=chosen, **fields)


def _delegate(told: Conversation, campaign: dict[str, Any], frame: Frame) -> Reply:
    """With an optimiser beside the model: it chooses the numbers of all experiments."""
    asked = told.results("tune")
    if not asked:
        left = campaign["experiments_left"]
        return Reply("The numbers are the optimiser's.").call("tune", title=as_text(frame), experiments=left)
    names = [one["name"] for one in json.loads(asked[0])["submitted"]] if asked[0].startswith("{") else []
    return _closing(told, frame, names)


def _points(space: Space, frame: Frame, start: Point, dice: Random, *, pivoting: bool, upto: int) -> list[Point]:
    """The session's proposals in order, the same at each request: nothing is remembered between two of them."""
    ground = Ground(space, frame, centre(space, frame, start))
    known = [start]
    points: list[Point] = [ground.centre] if pivoting else []
    while len(points) < upto:
        point = random_search.propose(ground, [*known, *points], dice)
        if point is None:
            break
        points.append(point)
    return points


def _title(space: Space, frame: Frame, point: Point) -> str:
    shown = [f"{one.name}={point[one.name]}" for one in space.existing(frame) if not one.structural]
    return ", ".join(shown) or as_text(frame)


def _closing(told: Conversation, frame: Frame, submitted: list[str]) -> Reply:
    """Wait once, look at the results, record what they show, hand over."""
    if submitted and not told.results("wait_for_results"):
        return Reply("I give the runs a moment.").call("wait_for_results", seconds=5)
    if not told.results("read_results"):
        return Reply().call("read_results")
    rows = [json.loads(line) for line in data(told.results("read_results")[-1]).splitlines() if line.startswith("{")]
    here = [row for row in rows if row.get("frame") == frame and row.get("value") is not None]
    kept = [row for row in here if row["phase"] == "Accepted" and row.get("gain")]
    if kept and not told.results("record_finding"):
        newest = kept[-1]
        said = f"In {as_text(frame)}, {newest['title']} is better than what it was compared with: {newest['value']:g}."
        return Reply(said).call("record_finding", statement=said, evidence=[newest["name"]])
    said = f"Worked in {as_text(frame)}; {len(submitted)} experiments submitted, {len(here)} of it measured so far."
    return Reply("That is all for this session.").call("finish", handoff=said)
