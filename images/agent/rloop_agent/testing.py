"""A gateway in memory, and a search space, for tests and for authors of other agents.

Called by tests only; it is part of the package because test files cannot share helpers. It admits what the real gateway
would admit, as far as a policy agent can observe: sequences, duplicates, frames, the demand for a pivot. Errors are
injected with `refuse`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

from typing_extensions import override

from rloop.api.iteration import Direction, Finding
from rloop.api.researchloop import Objective
from rloop.api.session_context import Context, Incumbent, SessionAllowance
from rloop.api.space import Space
from rloop.api.wire import (
    DirectionRequest,
    ExperimentDetail,
    ExperimentRequest,
    ExperimentView,
    FindingRequest,
    FindingVerdict,
    FinishRequest,
    HeartbeatReply,
    HeartbeatRequest,
    Reference,
    ReferenceText,
    TaskFiles,
    UsageReply,
    UsageReport,
)
from rloop_agent.gateway import AgentError, Gateway, Refused

SESSION = "demo-i0001-s1"
SPACE = Space.model_validate(
    {
        "file": "recipe.json",
        "dimensions": [
            {
                "name": "method",
                "key": "method",
                "values": ["plain", "smooth", "pool"],
                "default": "plain",
                "structural": True,
                "field": "method",
            },
            {
                "name": "loss",
                "key": "model.loss",
                "values": [1, 2],
                "default": 1,
                "structural": True,
                "field": "objective",
            },
            {"name": "rate", "key": "rate", "low": 0.001, "high": 1.0, "log": True, "default": 0.1},
            {"name": "depth", "key": "model.depth", "low": 1, "high": 9, "integer": True, "default": 3},
            {
                "name": "width",
                "key": "width",
                "values": [4, 8, 16],
                "default": 8,
                "when": {"method": ["smooth"]},
            },
        ],
    }
)
RECIPE = json.dumps({"method": "plain", "rate": 0.1, "model": {"loss": 1, "depth": 3}}, indent=2) + "\n"


def a_context(**changes: object) -> Context:
    """The context of a campaign's first session, with some fields changed."""
    context = Context(
        loop="demo",
        direction="Find a better recipe.",
        rules=[],
        objective=Objective(metric="loss", goal="Minimize"),
        editable=["recipe.json"],
        max_files=5,
        max_lines_per_file=300,
        session=SessionAllowance(
            name=SESSION,
            role="Investigate",
            max_rounds=15,
            session_seconds=300,
            max_experiments=5,
            heartbeat_seconds=30,
        ),
        incumbent=Incumbent(name="demo-b01", value=1.0),
        space=SPACE,
    )
    return context.model_copy(update=changes)


class FakeGateway(Gateway):
    """Records the requests; `refuse` is called before each verb and may return an error, which is raised."""

    def __init__(
        self,
        context: Context | None = None,
        files: dict[str, str] | None = None,
        refuse: Callable[[str, object], AgentError | None] = lambda _verb, _request: None,
    ) -> None:
        self.given = context or a_context()
        self.files = {"recipe.json": RECIPE} if files is None else files
        self.refuse = refuse
        self.verbs: list[str] = []
        self.directions: list[Direction] = list(self.given.directions)
        self.current = self.given.current_direction
        self.requests: dict[int, ExperimentRequest] = {}
        self.views: list[ExperimentView] = list(self.given.results)
        self.beats: list[int] = []
        self.used: UsageReport | None = None
        self.tokens_left: int | None = None
        self.handoff: str | None = None
        self.drafts: dict[str, str] = {}
        self.verdicts: dict[str, FindingVerdict] = {}
        self.papers: dict[str, str] = {}

    @override
    def context(self) -> Context:
        self._asked("context")
        return self.given.model_copy(update={"directions": list(self.directions), "current_direction": self.current})

    @override
    def task(self) -> TaskFiles:
        self._asked("task")
        return TaskFiles(files=self.files, editable=list(self.files))

    @override
    def post_direction(self, request: DirectionRequest) -> Direction:
        self._asked("post_direction", request)
        direction = Direction(
            name=f"demo-i0001-d{len(self.directions) + 1}",
            title=request.title,
            fields=request.fields,
            frame=request.frame,
            pivot=0,
            session=self.given.session.name,
            at=datetime(2026, 1, 1, tzinfo=UTC),
        )
        self.directions.append(direction)
        self.current = direction.name
        return direction

    @override
    def post_experiment(self, request: ExperimentRequest) -> ExperimentView:
        if request.sequence not in self.requests:
            self._asked("post_experiment", request)
            if any(request.files == other.files for other in self.requests.values()):
                raise Refused("Duplicate", "the same files were proposed before")
            direction = next((one for one in self.directions if one.name == (request.direction or self.current)), None)
            if direction is None:
                raise Refused("DirectionMissing", "POST a direction first")
            self.requests[request.sequence] = request
            self.views.append(
                ExperimentView(
                    name=f"demo-i0001-e{request.sequence}",
                    title=request.title,
                    phase="Queued",
                    direction=direction.name,
                    frame=direction.frame,
                    smoke=request.smoke,
                )
            )
        return next(view for view in self.views if view.name == f"demo-i0001-e{request.sequence}")

    @override
    def experiments(self) -> list[ExperimentView]:
        self._asked("experiments")
        return list(self.views)

    @override
    def experiment(self, name: str) -> ExperimentDetail:
        self._asked("experiment")
        view = next((view for view in self.views if view.name == name), None)
        if view is None:
            raise Refused("NotFound", f'there is no experiment "{name}" in this campaign')
        return ExperimentDetail.model_validate(view.model_dump())

    @override
    def references(self) -> list[Reference]:
        self._asked("references")
        return [Reference(path=path, size=len(text), text=True) for path, text in self.papers.items()]

    @override
    def reference(self, path: str) -> ReferenceText:
        self._asked("reference")
        if path not in self.papers:
            raise Refused("NotFound", f'there is no reference "{path}": GET references lists them')
        return ReferenceText(path=path, text=self.papers[path])

    @override
    def post_finding(self, request: FindingRequest) -> Finding:
        self._asked("post_finding", request)
        return Finding(
            name="demo-i0001-f1",
            statement=request.statement,
            evidence=request.evidence,
            session=self.given.session.name,
            at=datetime(2026, 1, 1, tzinfo=UTC),
        )

    @override
    def judge_finding(self, name: str, verdict: FindingVerdict) -> Finding:
        self._asked("judge_finding", verdict)
        claim = next((one for one in self.given.claims if one.name == name), None)
        if claim is None:
            raise Refused("FindingUnknown", f"{name} is not one of the claims")
        self.verdicts.setdefault(name, verdict)
        return Finding(
            name=name,
            statement=claim.statement,
            evidence=[one.name for one in claim.evidence],
            session=self.given.session.name,
            at=datetime(2026, 1, 1, tzinfo=UTC),
        )

    @override
    def heartbeat(self, request: HeartbeatRequest) -> HeartbeatReply:
        self._asked("heartbeat", request)
        self.beats.append(request.round)
        return HeartbeatReply(closing=self.handoff is not None)

    @override
    def report_usage(self, request: UsageReport) -> UsageReply:
        self._asked("report_usage", request)
        before = self.used or UsageReport()
        self.used = UsageReport(
            **{name: max(value, getattr(before, name)) for name, value in request.model_dump().items()}
        )
        return UsageReply(**self.used.model_dump(), tokens_left=self.tokens_left)

    @override
    def finish(self, request: FinishRequest) -> None:
        self._asked("finish", request)
        self.handoff = request.handoff
        self.drafts = dict(request.drafts)

    def _asked(self, verb: str, request: object = None) -> None:
        self.verbs.append(verb)
        error = self.refuse(verb, request)
        if error is not None:
            raise error
