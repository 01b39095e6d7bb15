"""`make demo-llm`: example 01 with the agent that thinks with a model, the LLM proxy, and a script as the model.

Real are the campaign, its experiments, the verifier, the gateway, the proxy and the agent. Scripted is the model: a
searcher by rules, in a process of its own on loopback (`tests/models/researcher.py`). So the demo shows that the parts
work together, and nothing about what a language model would find. It ends as `rloop run` does: 0 if the target is met.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import yaml

EXAMPLE = Path(__file__).parents[2] / "examples" / "01-kuhn-selfplay"
RLOOP = "from rloop_operator.cli.main import main; main()"
"""The command `rloop`, whether or not it is installed as a script."""
KEY = "no-secret-of-anybody"


def manifest(model: str, folder: Path) -> Path:
    """The example's loop.yaml with another agent; its paths point to the example's own folders."""
    document = yaml.safe_load((EXAMPLE / "loop.yaml").read_text(encoding="utf-8"))
    spec = document["spec"]
    agent = {name: spec["agent"][name] for name in ("maxRounds", "sessionSeconds", "maxExperiments")}
    spec["agent"] = {"llm": {"provider": "scripted", "model": model}, **agent}
    spec["task"]["path"] = os.path.relpath(EXAMPLE / "task", folder)
    spec["evaluation"]["code"]["path"] = os.path.relpath(EXAMPLE / "evaluation", folder)
    path = folder / "loop.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return path


def say(sentence: str) -> None:
    """Before and after what `rloop run` writes to the same place."""
    sys.stdout.write(f"{sentence}\n")
    sys.stdout.flush()


def main() -> int:
    """Run the campaign, and say what was scripted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="a folder that does not exist yet")
    parser.add_argument("--seed", type=int, default=7, help="of the script's chance and of the runs")
    told = parser.parse_args()
    told.dir.mkdir(parents=True)
    requests = told.dir / "requests.jsonl"
    say("The model is a script (tests/models/researcher.py), not a language model. Everything else is real.")
    with subprocess.Popen(
        [sys.executable, "-m", "tests.models", "--key", KEY, "--log", str(requests)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        file = manifest(f"researcher:{told.seed}", told.dir)
        command = [sys.executable, "-c", RLOOP, "run", str(file), "--dir", str(told.dir / "run")]
        provider = {"RLOOP_LLM_URL": url, "RLOOP_LLM_KEY": KEY, "RLOOP_PROVIDERS": ""}
        done = subprocess.run([*command, "--seed", str(told.seed)], env={**os.environ, **provider}, check=False)
        assert server.stdin is not None
        server.stdin.close()
    say(f"Scripted: {_calls(requests)}. Transcripts: {told.dir / 'run' / 'transcripts'}")
    return done.returncode


def _calls(requests: Path) -> str:
    """How many replies the script gave, in how many conversations, with which tool calls."""
    newest: dict[str, list[dict[str, object]]] = {}
    asked = 0
    for line in requests.read_text(encoding="utf-8").splitlines() if requests.exists() else []:
        messages = json.loads(line)["messages"]
        asked += 1
        newest[str(messages[1]["content"])[:200]] = messages
    calls: Counter[str] = Counter()
    for messages in newest.values():
        for message in messages:
            for call in message.get("tool_calls") or []:  # type: ignore[attr-defined]
                calls[call["function"]["name"]] += 1
    named = ", ".join(f"{name} {count}" for name, count in calls.most_common())
    return f"{asked} replies in {len(newest)} sessions, with the tool calls {named}"


if __name__ == "__main__":
    sys.exit(main())
