"""The verb that proposes an experiment.

Called by `gateway.verbs.service`. The files are examined before the lock is taken, because the examination may take
seconds.
"""

from __future__ import annotations

import asyncio

import structlog

from rloop import names
from rloop.admit import experiment as gate
from rloop.admit.content import Texts
from rloop.api.experiment import ResearchExperiment
from rloop.api.wire import ExperimentRequest, ExperimentView
from rloop.campaign_state import Situation
from rloop.decide import children
from rloop.errors import Conflict, Refused
from rloop.session_view import context as contexts
from rloop_operator.gateway.verbs.caller_view import CallerView, until_written
from rloop_operator.gateway.verbs.examiner import Examiner
from rloop_operator.ports import Caller, File
from rloop_operator.task_files import texts

log = structlog.get_logger("rloop.gateway")


class Proposals:
    """Admits experiments, one at a time."""

    def __init__(self, view: CallerView) -> None:
        self._view = view
        self._examiner = Examiner()
        self._admitting = asyncio.Lock()

    async def propose(self, caller: Caller, request: ExperimentRequest) -> ExperimentView:
        """Record the experiment and return its view. Raises Refused."""

        async def attempt() -> ExperimentView | None:
            situation = await self._view.proposing(caller, await self._view.exploring(caller))
            parent = _parent(situation, request.parent)
            gate.check_session(request, situation)
            before = await self._texts(caller.loop, situation, parent)
            content = await self._examiner.examine(caller.session, request.files, before)
            async with self._admitting:  # or two concurrent sessions could both take the last free place
                situation = await self._view.exploring(caller)
                if _name(_parent(situation, request.parent)) == _name(parent):
                    admitted = gate.admit(request, situation, content, _name(parent))
                    return await self._record(situation, admitted)
            return None

        return await until_written(attempt)

    async def _texts(self, loop: str, situation: Situation, parent: ResearchExperiment | None) -> Texts:
        bounds = situation.loop.spec.boundaries
        return Texts(
            task=texts(await self._view.store.files(names.task(loop))),
            parent=await self._view.changed_files(parent) if parent else {},
            editable=bounds.editable,
            max_files=bounds.max_files,
            max_lines_per_file=bounds.max_lines_per_file,
            space=await self._view.space(loop),
        )

    async def _record(self, situation: Situation, admitted: gate.Admitted) -> ExperimentView:
        loop, unit = situation.loop.metadata.name, contexts.noise_unit(situation.incumbent)
        if admitted.name in situation.experiments:
            return contexts.view(situation.experiments[admitted.name], unit)
        files = {path: File(text.encode()) for path, text in admitted.files.items()}
        try:
            await self._view.store.put_files(loop, admitted.name, files)
        except Conflict as conflict:  # an earlier request was interrupted after writing the files
            told = f"other files are stored under {admitted.name}: use the next sequence number"
            raise Refused("SequenceTaken", told) from conflict
        metadata = children.metadata(situation.loop, admitted.name)
        created = await self._view.store.create(ResearchExperiment(metadata=metadata, spec=admitted.spec))
        log.info("experiment_admitted", loop=loop, experiment=admitted.name, frame=admitted.spec.frame)
        self._view.changed()
        return contexts.view(created, unit)


def _name(experiment: ResearchExperiment | None) -> str | None:
    return experiment.metadata.name if experiment is not None else None


def _parent(situation: Situation, wanted: str) -> ResearchExperiment | None:
    if wanted == "task":
        return None
    if wanted == "incumbent":
        return situation.incumbent
    if wanted not in situation.experiments:
        raise Refused("ParentUnknown", f'parent "{wanted}": give incumbent, task or the name of an experiment')
    return situation.experiments[wanted]
