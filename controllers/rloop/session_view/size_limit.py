"""Reduces the context of a session to its size limit: the most relevant parts first, and a note about the rest.

Called by `rloop.session_view.context`. A full history would leave a session no room to work; without the note it would
consider the part that it sees complete.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from rloop.api.session_context import Context
from rloop.api.wire import ExperimentView

CONTEXT_BYTES = 256 * 1024
RESULTS_MAX = 60
NEAR_MISSES = 20
"""Of RESULTS_MAX, at most this many older results that came closest to a keep."""
DIRECTIONS_MAX = 60
FINDINGS_MAX = 40
TAIL = 512
"""Characters of each log tail that remain if the context is too large."""
CLAIMS_MAX = 40
WHERE = {
    "claims": "",
    "directions": "admission compares with all of them",
    "findings": "",
    "results": "GET experiments lists all",
    "failures": "GET experiments/NAME shows each",
}


def select(results: Sequence[ExperimentView], limit: int = RESULTS_MAX) -> list[ExperimentView]:
    """The newest results, plus those of the older ones with the largest gains, in order."""
    near = min(NEAR_MISSES, limit // 3)
    newest = list(results[-(limit - near) :])
    older = [one for one in results[: -(limit - near)] if one.gain is not None]
    best = {one.name for one in sorted(older, key=lambda one: one.gain or 0.0, reverse=True)[:near]}
    return [one for one in older if one.name in best] + newest


def bounded(whole: Context) -> Context:
    """The context within its bounds, with notes about what was left out."""
    cut = whole.changed(
        directions=whole.directions[-DIRECTIONS_MAX:],
        findings=whole.findings[-FINDINGS_MAX:],
        results=select(whole.results),
        claims=whole.claims[:CLAIMS_MAX],
    )
    for shorten in CUTS:
        if _size(cut) <= CONTEXT_BYTES:
            break
        cut = shorten(cut)
    return cut.changed(left_out=_told(whole, cut))


def _size(context: Context) -> int:
    return len(context.model_dump_json(by_alias=True).encode())


def _short_tails(context: Context) -> Context:
    return context.changed(failures=[one.changed(log_tail=one.log_tail[-TAIL:]) for one in context.failures])


def _shorter(context: Context, limit: int) -> Context:
    return context.changed(
        directions=context.directions[-limit:],
        findings=context.findings[-limit:],
        results=select(context.results, limit),
        claims=context.claims[:limit],
    )


def _without_drafts(context: Context) -> Context:
    if context.handoff is None:
        return context
    return context.changed(handoff=context.handoff.changed(drafts={}))


def _small_files(context: Context) -> Context:
    """The context without the largest of the incumbent's files."""
    files = dict(context.incumbent.files)
    room = CONTEXT_BYTES - (_size(context) - sum(len(text.encode()) for text in files.values()))
    while files and sum(len(text.encode()) for text in files.values()) > max(0, room) // 2:
        del files[max(files, key=lambda path: len(files[path]))]
    return context.changed(incumbent=context.incumbent.changed(files=files))


CUTS = (_short_tails, partial(_shorter, limit=20), _without_drafts, _small_files, partial(_shorter, limit=3))
"""Cuts applied while the context is too large, least relevant content first."""


def _told(whole: Context, cut: Context) -> list[str]:
    told = []
    for name, where in WHERE.items():
        before, after = len(getattr(whole, name)), len(getattr(cut, name))
        if after < before:
            told.append(f"{before - after} of {before} {name}" + (f": {where}" if where else ""))
    if whole.handoff is not None and cut.handoff is not None and whole.handoff.drafts and not cut.handoff.drafts:
        told.append("the drafts of the handoff")
    missing = sorted(set(whole.incumbent.files) - set(cut.incumbent.files))
    if missing:
        told.append(f"{', '.join(missing)[:500]} of the incumbent: GET experiments/{whole.incumbent.name} has all")
    return told
