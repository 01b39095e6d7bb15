"""`rloop validate`: everything that is wrong with a manifest and the folders it names, at once.

Called by the command line. It starts nothing and writes nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from rloop.admit.advice import advice
from rloop.admit.loop import unsupported
from rloop.api.researchloop import ResearchLoop
from rloop.errors import BadInput
from rloop_operator.cli import board, words
from rloop_operator.cli.guard import complain
from rloop_operator.manifest import check_folders, load
from rloop_operator.notes import folder_notes


def validate(file: Path, target: Literal["local", "cluster"]) -> None:
    """Print OK, or raise BadInput with every problem."""
    loop = load(file)
    problems = unsupported(loop, target)
    if target == "local":
        problems += check_folders(loop, file.absolute().parent)
    if problems:
        raise BadInput(*problems)
    notes = advice(loop, target)
    if target == "local":
        notes += folder_notes(loop, file.absolute().parent)
    for one in notes:
        complain(f"note: {one}")
    print(f"OK {summary(loop)}")


def summary(loop: ResearchLoop) -> str:
    """The campaign in one line."""
    spec = loop.spec
    policy, llm = spec.agent.policy, spec.agent.llm
    agent = policy.name if policy is not None else spec.agent.image or (llm.model if llm is not None else "")
    return (
        f"{loop.metadata.name}: {words.goal(spec.objective)}; {words.line(agent)}, "
        f"{spec.evaluation.baseline_runs} baseline runs, {spec.evaluation.acceptance.lower()} acceptance, "
        f"parallelism {spec.parallelism}; budget: {board.limits(spec.budget)}"
    )
