"""The verbs that only read: context, task, experiments, references.

Called by `gateway.verbs.service`. The pure `rloop.session_view.visibility` decides which objects a session sees,
`rloop.session_view.context` in which form.
"""

from __future__ import annotations

from rloop import names
from rloop.admit.files import unified
from rloop.api.experiment import ResearchExperiment
from rloop.api.reading.globs import matches
from rloop.api.session_context import Context
from rloop.api.wire import (
    REFERENCE_CHARACTERS,
    ExperimentDetail,
    ExperimentView,
    Reference,
    ReferenceText,
    TaskFiles,
)
from rloop.campaign_state import Situation
from rloop.errors import NotFound, Refused
from rloop.session_view import context as contexts
from rloop.session_view import waits
from rloop_operator.gateway.verbs.caller_view import CallerView
from rloop_operator.ports import Caller, Files
from rloop_operator.task_files import texts


async def context(view: CallerView, caller: Caller) -> Context:
    """Everything that a new session needs."""
    situation = await view.situation(caller)
    incumbent, handoff = situation.incumbent, contexts.handoff(situation)
    drafts = await view.store.files(names.drafts(handoff.session)) if handoff is not None and handoff.drafts else {}
    return contexts.build(
        situation,
        space=await view.space(caller.loop),
        incumbent_files=await view.changed_files(incumbent) if incumbent else {},
        drafts=texts(drafts),
        references=len(await _references(view, situation)),
    )


async def task(view: CallerView, caller: Caller) -> TaskFiles:
    """The sealed task's files."""
    situation = await view.situation(caller)
    files = await view.store.files(names.task(caller.loop))
    text = texts(files)
    editable = situation.loop.spec.boundaries.editable
    return TaskFiles(
        files=text,
        binary=sorted(path for path in files if path not in text),
        editable=sorted(path for path in files if matches(path, editable)),
    )


async def experiments(view: CallerView, caller: Caller) -> list[ExperimentView]:
    """Everything that was tried, oldest first."""
    situation = await view.situation(caller)
    unit, blocked = contexts.noise_unit(situation.incumbent), waits.blocked(situation)
    return [contexts.view(one, unit, blocked) for one in situation.experiments.values()]


async def experiment(view: CallerView, caller: Caller, name: str) -> ExperimentDetail:
    """One experiment, including discarded ones. Raises NotFound."""
    situation = await view.situation(caller)
    if name not in situation.experiments:
        message = f'there is no experiment "{name}" in this campaign'
        raise NotFound(message)
    found = situation.experiments[name]
    files = await view.changed_files(found)
    difference = await _difference(view, caller.loop, found, files)
    unit = contexts.noise_unit(situation.incumbent)
    return contexts.detail(found, unit, files, difference, waits.blocked(situation))


async def references(view: CallerView, caller: Caller) -> list[Reference]:
    """The papers and documents of the campaign."""
    files = await _references(view, await view.situation(caller))
    readable = texts(files)
    return [Reference(path=path, size=len(file.content), text=path in readable) for path, file in sorted(files.items())]


async def reference(view: CallerView, caller: Caller, path: str) -> ReferenceText:
    """The text of one paper or document. Raises NotFound, and Refused(NotText) for a file that is not text."""
    files = await _references(view, await view.situation(caller))
    if path not in files:
        message = f'there is no reference "{path}": GET references lists them'
        raise NotFound(message)
    text = texts({path: files[path]}).get(path)
    if text is None:
        raise Refused("NotText", f"{path} is not text and cannot be read here")
    return ReferenceText(path=path, text=text[:REFERENCE_CHARACTERS], left_out=max(0, len(text) - REFERENCE_CHARACTERS))


async def _references(view: CallerView, situation: Situation) -> Files:
    sealed = situation.loop.status.sealed
    if sealed is None or sealed.references is None:
        return {}
    return await view.store.files(names.references(situation.loop.metadata.name))


async def _difference(view: CallerView, loop: str, found: ResearchExperiment, files: dict[str, str]) -> str:
    before = texts(await view.store.files(names.task(loop))) if found.spec.files else {}
    return "".join(unified(path, before.get(path, ""), text) for path, text in files.items())
