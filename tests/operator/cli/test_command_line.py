"""The grammar of the command line, validate, and what happens when something unexpected happens."""

import importlib
import pkgutil
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from rloop_operator import cli
from rloop_operator.cli.commands import status
from rloop_operator.cli.main import app
from rloop_operator.local.storage.layout import RunFolder

Rloop = Callable[..., subprocess.CompletedProcess[str]]
Example = Callable[..., Path]
EXAMPLES = Path(__file__).parents[3] / "examples"
COMMANDS = [
    *("run", "status", "experiments", "directions", "findings", "report", "verify", "logs"),
    *("suspend", "resume", "pivot", "validate", "pack", "mcp"),
]
MODULE = f"{sys.executable} -m rloop_operator.cli"
"""The program as the fixture `rloop` starts it."""


def test_help_lists_every_command_and_each_explains_itself() -> None:
    shown = CliRunner().invoke(app, ["--help"])
    assert shown.exit_code == 0
    for command in COMMANDS:
        assert f"  {command} " in shown.output
        explained = CliRunner().invoke(app, [command, "--help"])
        assert explained.exit_code == 0
        assert "Usage" in explained.output


def test_no_command_is_forgotten_above() -> None:
    assert sorted(command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands) == (
        sorted(COMMANDS)
    )


def test_every_first_sentence_fits_into_the_list() -> None:
    listed = CliRunner().invoke(app, ["--help"], terminal_width=80).output.split("Commands:")[1]
    assert "..." not in listed


MODULES = sorted(one.name for one in pkgutil.walk_packages(cli.__path__, "rloop_operator.cli."))


@pytest.mark.parametrize("module", [one for one in MODULES if not one.endswith("__main__")])
def test_every_module_of_a_command_is_there(module: str) -> None:
    # A command imports its own when it is called, so --help alone would miss nothing.
    importlib.import_module(module)


def test_version() -> None:
    assert CliRunner().invoke(app, ["--version"]).output.startswith("rloop 0.")


@pytest.mark.parametrize("arguments", [["nothing"], ["status", "--nothing"], ["run"], ["status", "-o", "xml"]])
def test_bad_usage_is_exit_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, arguments).exit_code == 2


def test_validate_says_ok_in_a_line(rloop: Rloop, example: Example) -> None:
    done = rloop("validate", example())
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "OK demo: Minimize loss to -100; random-search, 3 baseline runs, standard acceptance, parallelism 4;"
        " budget: 3 runs\n"
    )


def test_validate_tells_every_problem(rloop: Rloop, example: Example) -> None:
    done = rloop("validate", example(objective__goal="minimise", budget__runs="many", parallelism=0))
    assert done.returncode == 2
    assert done.stdout == ""
    fields = [line.split(":")[0] for line in done.stderr.splitlines()]
    assert sorted(fields) == ["spec.budget.runs", "spec.objective.goal", "spec.parallelism"]


def test_validate_notes_what_is_probably_not_meant(rloop: Rloop, example: Example) -> None:
    done = rloop(
        "validate",
        example(
            boundaries__editable=["recipe.json", "recipes/*.json"],
            evaluation__command=["env", "python3", "socre.py"],
        ),
    )
    assert done.returncode == 0
    fields = [line.removeprefix("note: ").split(":")[0] for line in done.stderr.splitlines()]
    assert fields == ["spec.budget.runs", "spec.boundaries.editable[1]", "spec.evaluation.command[2]"]


@pytest.mark.parametrize(
    ("job", "ranks"),
    [({"job": {}}, ""), ({"pyTorchJob": {"replicas": 2, "procPerNode": 2}, "job": None}, "WORLD_SIZE=4 ")],
)
def test_validate_says_how_to_run_the_preflight_which_it_does_not(
    rloop: Rloop, example: Example, job: dict[str, Any], ranks: str
) -> None:
    parts = {f"experiment__{name}": value for name, value in {**job, "preflight": ["./check", "a b"]}.items()}
    file = example(**parts)
    done = rloop("validate", file)
    assert done.returncode == 0, done.stderr
    command = f"cd '{file.parent / 'task'}' && {ranks}./check 'a b'"
    assert f"note: spec.experiment.preflight: was not run; run it yourself: {command}" in done.stderr.splitlines()


def test_a_wrong_choice_is_told_without_words_of_a_library() -> None:
    told = CliRunner().invoke(app, ["status", "-o", "xml"]).output
    assert "'xml' is not one of table, json, yaml" in told
    assert "Value error" not in told


def test_validate_for_a_cluster_refuses_folders_of_a_laptop(rloop: Rloop, example: Example) -> None:
    done = rloop("validate", example(), "--for", "cluster")
    assert done.returncode == 2
    assert "spec.task.path: " in done.stderr
    (note,) = [line for line in done.stderr.splitlines() if line.startswith("note: ")]
    assert f"{MODULE} pack " in note
    assert note.endswith(f"kubectl kustomize '{example().parent}' | {MODULE} validate --for cluster -")


def packed_loop(**experiment: str) -> str:
    document = yaml.safe_load((EXAMPLES / "02-shell-awk/loop.yaml").read_text())
    document["spec"]["task"] = {"configMap": {"name": "t"}}
    document["spec"]["evaluation"] |= {"code": {"configMap": {"name": "e"}}, "heldOut": {"secret": "h"}}
    document["spec"]["experiment"] |= {"image": "python:3"} | experiment
    return yaml.safe_dump(document)


CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: t}\n"


@pytest.mark.parametrize(
    ("documents", "code", "words"),
    [
        ([packed_loop()], 0, "OK shell-awk: "),
        ([CONFIG_MAP, packed_loop(), CONFIG_MAP], 0, "note: not checked: 2 other objects\n"),
        ([CONFIG_MAP, packed_loop(imge="x")], 2, "spec.experiment.imge: unknown field; did you mean image?"),
        ([packed_loop(), packed_loop()], 2, "standard input: holds 2 objects, 2 of them ResearchLoops; give one"),
        (
            [CONFIG_MAP, CONFIG_MAP],
            2,
            "standard input: holds 2 objects, none of them a ResearchLoop; give one",
        ),
        ([CONFIG_MAP], 2, "kind: ConfigMap cannot be run"),
        (["- a"], 2, "standard input: holds a list"),
        ([""], 2, "standard input: is empty"),
        ([(EXAMPLES / "02-shell-awk/loop.yaml").read_text()], 2, "spec.task.path: only the local shell can read"),
    ],
)
def test_what_kustomize_prints_is_checked_for_a_cluster(documents: list[str], code: int, words: str) -> None:
    done = CliRunner().invoke(app, ["validate", "--for", "cluster", "-"], input="---\n".join(documents))
    assert done.exit_code == code, done.output
    assert words in done.output


def test_standard_input_has_no_folders_beside_it() -> None:
    done = CliRunner().invoke(app, ["validate", "-"], input=packed_loop())
    assert done.exit_code == 2
    assert (
        done.stderr
        == "standard input: comes from stdin, so its folders cannot be found: give the file, or add --for cluster\n"
    )


def test_standard_input_that_is_closed(tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", f'exec "{sys.executable}" -m rloop_operator.cli validate --for cluster - <&-'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    told = "standard input: is closed: pipe a manifest to stdin, or give a file\n"
    assert (done.returncode, done.stderr) == (2, told)


def test_a_file_that_is_not_there(rloop: Rloop) -> None:
    done = rloop("validate", "nothing.yaml")
    assert done.returncode == 2
    assert "nothing.yaml" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unexpected_exception_is_one_line_and_a_file(
    layout: RunFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(status, "status", broken)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    done = CliRunner().invoke(app, ["status", "--dir", str(layout.root)])
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert "unexpected ZeroDivisionError" in done.stderr
    report = next(tmp_path.glob("crash-*.log"))
    assert str(report) in done.stderr
    assert "in broken" in report.read_text()


def test_ctrl_c_is_quiet(layout: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(status, "status", interrupted)
    done = CliRunner().invoke(app, ["status", "--dir", str(layout.root)])
    assert done.exit_code == 130
    assert done.output == ""


def test_pack_writes_a_kustomization_and_says_how_to_apply_it(rloop: Rloop, tmp_path: Path) -> None:
    mine = shutil.copytree(EXAMPLES / "02-shell-awk", tmp_path / "my campaign")
    (mine / "kustomization.yaml").unlink()
    done = rloop("pack", mine / "loop.yaml", "--image", "python:3")
    assert done.returncode == 0, done.stderr
    assert f"check it with: kubectl kustomize '{mine}' | {MODULE} validate --for cluster -\n" in done.stdout
    assert done.stdout.endswith(f"then apply it with: kubectl apply -k '{mine}'\n")
    assert "python:3" in (mine / "kustomization.yaml").read_text()
    (mine / "task" / "more.txt").write_bytes(bytes(300 * 1024))
    done = rloop("pack", mine / "loop.yaml", "--image", "python:3")
    assert f"kubectl apply --server-side -k '{mine}'" in done.stdout
    assert "more.txt" in (mine / "kustomization.yaml").read_text()


def test_pack_overwrites_nothing_of_somebody_elses(rloop: Rloop, tmp_path: Path) -> None:
    mine = shutil.copytree(EXAMPLES / "02-shell-awk", tmp_path / "mine")
    (mine / "kustomization.yaml").write_text("resources: [loop.yaml]\n")
    done = rloop("pack", mine / "loop.yaml", "--image", "python:3")
    assert done.returncode == 2
    assert "kustomization.yaml: exists and was not written by rloop pack" in done.stderr
    assert (mine / "kustomization.yaml").read_text() == "resources: [loop.yaml]\n"
