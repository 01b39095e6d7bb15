"""Render `state/` and `logs/` of a run folder in the protocol's layout from the stored objects.

Called by `local.campaign` after its passes and once at the end. The files are output only: no decision reads them,
because the database is the only source of truth. State files are replaced atomically. Log files are appended to, with
each record exactly once, even after a crash.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from rloop import campaign_state
from rloop.api.experiment import ResearchExperiment
from rloop.api.iteration import ResearchIteration
from rloop.api.researchloop import ResearchLoop
from rloop.observed import Observed
from rloop_operator.local.protocol import lines
from rloop_operator.local.protocol.lines import Record, log_line, stamp
from rloop_operator.local.storage.file_errors import told
from rloop_operator.local.storage.layout import RunFolder

Object = ResearchLoop | ResearchIteration | ResearchExperiment

RENDER_SECONDS = 1.0
HEARTBEAT_SECONDS = 30.0
"""Seconds between two lines of heartbeat.jsonl, so that it stays small over days."""


class ProtocolFiles:
    """The files of one campaign. Remembers their content, so that a pass without changes costs nothing."""

    def __init__(self, folder: RunFolder, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._clock = clock
        self._rendered_at = -RENDER_SECONDS
        self._beat_at = -HEARTBEAT_SECONDS
        self._versions: dict[str, str] = {}
        self._states: dict[Path, str] = {}
        state, logs = folder.state, folder.logs
        self._findings = _Growing(state / "findings.jsonl", ("name",))
        self._iterations = _Growing(state / "iteration_log.jsonl", ("name",))
        self._work = _Growing(logs / "work.jsonl", ("source", "event"))
        self._heartbeat = _Growing(logs / "heartbeat.jsonl", ("ts",))

    def render(self, observed: Observed, *, final: bool = False) -> None:
        """Update the files at most once a second; with `final` always. Raises StorageFull, NotWritable."""
        now = self._clock()
        if not final and now - self._rendered_at < RENDER_SECONDS:
            return
        self._rendered_at = now
        with told(self._folder.root):
            self._beat(observed, now, final=final)
            changed = self._changed(observed)
            if changed:
                self._append(observed, changed)
                self._replace_states(observed)

    def _changed(self, observed: Observed) -> list[Object]:
        everything: tuple[Object, ...] = (observed.loop, *observed.iterations.values(), *observed.experiments.values())
        changed = [one for one in everything if self._versions.get(one.metadata.name) != one.metadata.resource_version]
        self._versions |= {one.metadata.name: one.metadata.resource_version for one in changed}
        return changed

    def _append(self, observed: Observed, changed: list[Object]) -> None:
        iterations = [one for one in changed if isinstance(one, ResearchIteration)]
        experiments = [one for one in changed if isinstance(one, ResearchExperiment)]
        work = [line for one in iterations for line in lines.work_of_iteration(one)]
        work += [line for one in experiments for line in lines.work_of_experiment(one)]
        self._work.append(sorted(work, key=lambda line: str(line["ts"])))
        # Only settled iterations: a line is written once, and a finding is complete only after its check.
        whole = [one for one in iterations if one.status.phase == "Settled"]
        self._findings.append(lines.findings(whole, experiments))
        self._iterations.append(lines.settled(iterations, observed.experiments.values()))

    def _replace_states(self, observed: Observed) -> None:
        loop, state = observed.loop, self._folder.state
        progress = {
            "iteration": campaign_state.newest(observed.iterations),
            "total_findings": len(self._findings),
            "status": loop.status.phase,
            "stale_count": loop.status.stale_count,
        }
        tried = lines.directions(loop, observed.iterations, observed.experiments.values())
        self._replace(state / "task_spec.md", task_spec(loop))
        self._replace(state / "progress.json", _json(progress, indent=2))
        self._replace(state / "directions_tried.json", _json(tried, indent=2))

    def _replace(self, path: Path, text: str) -> None:
        if self._states.get(path) == text:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.new")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
        self._states[path] = text

    def _beat(self, observed: Observed, now: float, *, final: bool) -> None:
        if not final and now - self._beat_at < HEARTBEAT_SECONDS:
            return
        self._beat_at = now
        detail = {
            "phase": observed.loop.status.phase,
            "workloads": sum(one.exit is None for one in observed.workloads.values()),
            "sessions": {
                name: {"round": beat.round, "age": round(beat.age_seconds)} for name, beat in observed.beats.items()
            },
        }
        self._heartbeat.append([log_line(stamp(observed.now), "operator", "info", "alive", detail)])


class _Growing:
    """A file of JSON lines to which each record is appended once. `fields` identify a record."""

    def __init__(self, path: Path, fields: tuple[str, ...]) -> None:
        self._path = path
        self._fields = fields
        self._known: set[tuple[str, ...]] | None = None

    def __len__(self) -> int:
        return len(self._read())

    def append(self, records: Iterable[Record]) -> None:
        known = self._read()
        fresh = []
        for record in records:
            key = self._key(record)
            if key not in known:
                known.add(key)
                fresh.append(_json(record))
        if not fresh:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            content = "".join(fresh).encode(errors="replace")
            while content:
                content = content[os.write(descriptor, content) :]
        except OSError:
            self._known = None  # read the file again, because only a part may have been written
            raise
        finally:
            os.close(descriptor)

    def _key(self, record: Record) -> tuple[str, ...]:
        return tuple(str(record.get(field, "")) for field in self._fields)

    def _read(self) -> set[tuple[str, ...]]:
        """The keys of the records in the file, read once. An incomplete last line, left by a crash, is cut off."""
        if self._known is None:
            self._known = set()
            try:
                content = self._path.read_bytes()
            except FileNotFoundError:
                return self._known
            whole = content[: content.rfind(b"\n") + 1]
            if len(whole) < len(content):
                os.truncate(self._path, len(whole))
            for line in whole.splitlines():
                try:
                    record = json.loads(line)
                except ValueError:
                    continue
                if isinstance(record, dict):
                    self._known.add(self._key(record))
        return self._known


def _json(value: object, *, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent) + "\n"


def task_spec(loop: ResearchLoop) -> str:
    """The direction, the boundaries, the objective and the budget of the loop as Markdown."""
    spec = loop.spec
    objective, bounds, evaluation = spec.objective, spec.boundaries, spec.evaluation
    target = f", target {objective.target}" if objective.target is not None else ""
    guardrails = [
        f"- Guardrail: {one.metric}"
        + (f" at least {one.min}" if one.min else "")
        + (f" at most {one.max}" if one.max else "")
        for one in objective.guardrails
    ]
    limits = spec.budget.model_dump(by_alias=True, exclude_none=True)
    parts = [
        f"# {loop.metadata.name}",
        "## Direction",
        spec.direction.strip(),
        "## Boundaries",
        "\n".join(
            [
                f"- Editable: {', '.join(f'`{glob}`' for glob in bounds.editable)}",
                f"- At most {bounds.max_files} files, {bounds.max_lines_per_file} changed lines in each",
                *(f"- {rule}" for rule in bounds.rules),
            ]
        ),
        "## Success criterion",
        "\n".join(
            [
                f"- {objective.goal} `{objective.metric}`{target}",
                f"- A gain below {objective.minimum_gain} is not kept",
                *guardrails,
            ]
        ),
        "## Measurement",
        "\n".join(
            [
                f"- By an independent verifier: `{' '.join(evaluation.command)}`",
                f"- {evaluation.repeats} scorings of a run; {evaluation.baseline_runs} baseline runs with other seeds",
                f"- Acceptance {evaluation.acceptance}, false keep rate {evaluation.false_keep_rate}",
            ]
        ),
        "## Budget",
        "\n".join(f"- {name}: {limit}" for name, limit in limits.items()) or "- without a limit",
    ]
    return "\n\n".join(parts) + "\n"
