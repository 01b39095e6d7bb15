"""`rloop experiments`: a table of the experiments, one line each.

Called by the command line. `detail` shows a single experiment.
"""

from __future__ import annotations

from rloop import campaign_state, figures
from rloop.api.experiment import TERMINAL_PHASES, ResearchExperiment
from rloop_operator.cli.sources.snapshot import Snapshot
from rloop_operator.cli.sources.source import Source
from rloop_operator.cli.terminal import words
from rloop_operator.cli.terminal.output import Format, emit, listed, table
from rloop_operator.cli.terminal.program import program
from rloop_operator.cli.views import facts

SHOWN = 20
"""Number of newest experiments that are always shown; older ones only if they are kept, open or the baseline."""
HEADINGS = ("NAME", "ITER", "PHASE", "REASON", "RUNS", "VALUE", "± (95 %)", "GAIN", "OVER", "WHAT")
RIGHT = (1, 4, 5, 6, 7)
SPARE = (1, 6, 3)


def experiments(source: Source, form: Format, *, everything: bool) -> None:
    """Print the table, or all experiments as JSON or YAML."""
    snapshot = source.look()
    ordered = snapshot.ordered()
    if form is not Format.TABLE:
        emit(listed(ordered), form)
        return
    if not ordered:
        print("no experiment yet")
        return
    recent = {one.metadata.name for one in ordered[-SHOWN:]}
    shown = [one for one in ordered if everything or one.metadata.name in recent or _matters(one)]
    table(HEADINGS, [_row(one, snapshot) for one in shown], right=RIGHT, spare=SPARE)
    if len(shown) < len(ordered):
        left = len(ordered) - len(shown)
        print(f"and {left} older ones that were not kept; {program()} experiments --all shows them")


def _matters(experiment: ResearchExperiment) -> bool:
    is_open = experiment.status.phase not in TERMINAL_PHASES
    return is_open or experiment.spec.kind == "Baseline" or campaign_state.kept_number(experiment) > 0


def _row(experiment: ResearchExperiment, snapshot: Snapshot) -> tuple[str, ...]:
    verdict = experiment.status.verdict
    value = figures.value(experiment)
    spread = (value.high - value.low) / 2 if value and value.low is not None and value.high is not None else 0.0
    gain = figures.gain(experiment)
    over = verdict.compared_with if verdict is not None and gain is not None else None
    return (
        snapshot.short(experiment.metadata.name),
        str(experiment.spec.iteration or words.DASH),
        experiment.status.phase,
        verdict.reason if verdict is not None else words.DASH,
        str(value.runs if value is not None else 0),
        facts.without_interval(value, snapshot) if value is not None else words.DASH,
        words.spread(spread, value.value, spread) if value and spread else words.DASH,
        words.number(gain, snapshot.noise) if gain is not None else words.DASH,
        snapshot.short(over) if over is not None else words.DASH,
        facts.what(experiment, snapshot),
    )
