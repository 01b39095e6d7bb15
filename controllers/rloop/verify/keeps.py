"""Decides every keep again from the stored runs, with the functions that decided it, and compares the verdicts.

Called by `campaign`. A verdict names the runs of the incumbent that it compared. The rejected challengers that counted
for the noise are all that were compared with the same incumbent: nothing is compared with it after the keep. Numbers
must be equal to the last digit, because the same facts give the same verdict.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rloop import names
from rloop.api.experiment import ResearchExperiment, Verdict
from rloop.api.researchloop import ResearchLoop, ResearchLoopSpec
from rloop.campaign_state import kept_number
from rloop.decide.queries import comparison, guardrails, runs
from rloop.decide.statistics.acceptance import Keep

Experiments = Mapping[str, ResearchExperiment]


def misfits(loop: ResearchLoop, experiments: Experiments, deleted: Experiments) -> Iterator[str]:
    """Sentences about keeps that do not follow from the runs, in order of the keeps.

    `deleted` are experiments without an object, as the ledger has them.
    """
    known = dict(sorted({**experiments, **deleted}.items()))  # as every store lists them
    yield from _numbering(known, deleted)
    holders: dict[int, set[str]] = {0: {names.baseline(loop.metadata.name)}}
    for name, one in known.items():
        if kept_number(one):
            holders.setdefault(kept_number(one), set()).add(name)
    for one in sorted(known.values(), key=kept_number):
        verdict = one.status.verdict
        if verdict is None or not kept_number(one):
            continue
        told = _against(known, holders, verdict, deleted)
        told = told or _decided_again(loop.spec, one, verdict, experiments, known)
        if told is None and one.metadata.name in experiments:
            broken = guardrails.broken(loop.spec, one)
            told = None if broken is None else f"does not meet a condition: {broken}"
        if told is not None:
            lost = f"; the objects of experiments were deleted: {', '.join(sorted(deleted))}" if deleted else ""
            yield f'keep {kept_number(one)} (experiment "{one.metadata.name}") {told}{lost}'


def _numbering(known: Experiments, deleted: Experiments) -> Iterator[str]:
    """Keeps have the numbers 1, 2, 3 and so on. After an incumbent's object is deleted, its number is given again."""
    taken: dict[int, str] = {}
    for name, one in known.items():
        verdict, number = one.status.verdict, kept_number(one)
        kept = one.spec.kind == "Candidate" and one.status.phase == "Accepted"
        if kept != (number > 0) or kept != (verdict is not None and verdict.reason == "Kept"):
            has = f"the keep number {number}" if number else "no keep number"
            yield f'experiment "{name}" is {one.status.phase} and has {has}: exactly the Accepted candidates have one'
        if number and name not in deleted and number in taken:
            yield f'experiments "{taken[number]}" and "{name}" both have the keep number {number}'
        if number and name not in deleted:
            taken[number] = name
    numbers = {kept_number(one) for one in known.values()} - {0}
    missing = set(range(1, len(numbers) + 1)) - numbers
    if missing:
        yield f"there are {len(numbers)} keeps, and none has the number {min(missing)}"


def _against(known: Experiments, holders: Mapping[int, set[str]], verdict: Verdict, deleted: Experiments) -> str | None:
    """What is wrong with the incumbent that a verdict names, and with its runs."""
    incumbents = holders.get((verdict.keep or 0) - 1, set())
    against = known.get(verdict.compared_with or "")
    if against is None or verdict.compared_with not in incumbents:
        was = " or ".join(sorted(incumbents)) or "unknown"
        return f"was compared with {verdict.compared_with}, and the incumbent was {was}"
    have = runs.incumbent_runs(against)
    own = {run.number for run in against.status.runs if run.number in have and run.kind != "reference"}
    if not own <= set(verdict.compared_runs) <= set(have) or verdict.compared_runs != sorted(
        set(verdict.compared_runs)
    ):
        numbers = ", ".join(map(str, verdict.compared_runs)) or "none"
        there = ", ".join(map(str, have)) or "none"
        if verdict.compared_with in deleted:
            was = verdict.compared_with
            return f"cannot be recomputed: it was compared with runs of {was}, which was deleted"
        return f"was compared with runs {numbers} of {verdict.compared_with}, whose finished runs are {there}"
    return None


def _decided_again(
    spec: ResearchLoopSpec, one: ResearchExperiment, verdict: Verdict, experiments: Experiments, known: Experiments
) -> str | None:
    """What differs between a keep's verdict and that of its runs.

    A challenger whose object was deleted counted if it was deleted later than the keep.
    """
    told = [_difference(spec, one, verdict, known, known)]
    if len(known) > len(experiments):
        told.append(_difference(spec, one, verdict, experiments, known))
    return None if None in told else told[0]


def _difference(
    spec: ResearchLoopSpec, one: ResearchExperiment, verdict: Verdict, counted: Experiments, known: Experiments
) -> str | None:
    against = known[verdict.compared_with or ""]
    compared = {
        number: value for number, value in runs.incumbent_runs(against).items() if number in verdict.compared_runs
    }
    rejected = [counted[name] for name in known if name in counted]
    found = comparison.judgement(spec, one, comparison.incumbent(against, compared, rejected))
    if not isinstance(found, Keep):
        return f"does not follow from its runs: they give {found}"
    number = verdict.keep or 0
    again = comparison.kept(spec, found, against.metadata.name, compared, number=number, at=verdict.at)
    for field in Verdict.model_fields:
        was, now = getattr(verdict, field), getattr(again, field)
        if was != now:
            return f"does not follow from its runs: they give {field} {now}, its verdict has {was}"
    return None
