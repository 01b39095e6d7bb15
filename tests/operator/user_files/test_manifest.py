"""A manifest on disk: what cannot be read, what the folders beside it lack, and what is fine."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from rloop.api.loop_status import SealedTask
from rloop.api.researchloop import ResearchLoop
from rloop.errors import BadInput
from rloop_operator.generate import generate
from rloop_operator.task_files import files_digest
from rloop_operator.user_files.folders import check_folders
from rloop_operator.user_files.manifest import load
from rloop_operator.user_files.notes import folder_notes, frozen_notes
from rloop_operator.user_files.reading import read_folders

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples/01-kuhn-selfplay"
EXAMPLES = sorted(ROOT.glob("examples/*/loop.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.parent.name for path in EXAMPLES])
def test_an_example_can_be_run(path: Path) -> None:
    assert told(load(path), path.parent) == []


HEAD = "apiVersion: rloop.dev/v1alpha1\nkind: ResearchLoop\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("# only a comment\n", "is empty"),
        ("---\n---\n", "is empty"),
        (f"{HEAD}metadata:\n  name: a\n  name: b\n", 'line 5: "name" occurs twice, first in line 4'),
        (f"{HEAD}metadata:\n\tname: a\n", "a tab"),
        (f"{HEAD}---\n{HEAD}", "holds 2 documents"),
        ("- a\n- b\n", "holds a list"),
        ("just words\n", "holds a single value"),
        ("a: [1, 2\n", "not valid YAML: line"),
        ("a: b: c\n", "quote text"),
        ("name: {{ .Values.name }}\n", "template"),
        ("a: \x07\n", "character that YAML forbids"),
        ("a: !!python/object:os.system x\n", "not valid YAML"),
        ("a: 2026-02-31\n", "cannot be read"),
        ("[" * 5000, "nested too deep"),
        ("kind: ResearchLoop\n", "apiVersion: is missing"),
        ("apiVersion: rloop.dev/v1\nkind: ResearchLoop\n", "supports only rloop.dev/v1alpha1"),
        ("apiVersion: v1\nkind: ConfigMap\n", "kind: ConfigMap cannot be run"),
        ("apiVersion: rloop.dev/v1alpha1\nkind: ResearchIteration\n", "ResearchIteration cannot be run"),
        ("model: gpt\n", "is not a manifest of a ResearchLoop"),
        (HEAD, "spec: is missing"),
    ],
)
def test_a_file_that_is_no_manifest_is_explained(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "loop.yaml"
    path.write_text(text)
    with pytest.raises(BadInput) as caught:
        load(path)
    assert words in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_paths_that_hold_no_text_are_explained(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes("direction: größer\n".encode("latin-1"))
    (tmp_path / "big.yaml").write_bytes(b"#" * (2**20 + 1))
    for name, words in (
        (".", "is a folder"),
        ("missing.yaml", "no such file"),
        ("latin.yaml", "is not UTF-8 (byte 14"),
        ("big.yaml", "larger than 1024 KiB"),
        ("nul\0.yaml", "cannot be read"),
    ):
        with pytest.raises(BadInput) as caught:
            load(tmp_path / name)
        assert words in str(caught.value), name


def test_json_is_fine_and_as_strict(tmp_path: Path) -> None:
    document = yaml.safe_load((EXAMPLE / "loop.yaml").read_text())
    path = tmp_path / "loop.json"
    path.write_text(json.dumps(document, indent="\t"))
    assert load(path) == load(EXAMPLE / "loop.yaml")
    for text, words in (('{"a": 1, "a": 2}', '"a" occurs twice'), ("{", "not valid JSON: line 1"), ("", "is empty")):
        path.write_text(text)
        with pytest.raises(BadInput, match=words):
            load(path)


def test_an_exported_object_can_be_run_again(tmp_path: Path) -> None:
    loop = load(EXAMPLE / "loop.yaml")
    document = loop.model_dump(mode="json", by_alias=True)
    document["metadata"] |= {"uid": "u", "resourceVersion": "7", "managedFields": [], "creationTimestamp": None}
    document["status"] = {"whatever": "an older version wrote"}
    path = tmp_path / "loop.yaml"
    path.write_text(yaml.safe_dump(document))
    assert load(path) == loop


def campaign(folder: Path, **spec: Any) -> tuple[ResearchLoop, Path]:
    """A copy of the first example with parts of its spec replaced."""
    base = folder / "my campaign ü"
    shutil.copytree(EXAMPLE, base, ignore=shutil.ignore_patterns("__pycache__"))
    document = yaml.safe_load((base / "loop.yaml").read_text())
    for part, value in spec.items():
        document["spec"][part] = document["spec"][part] | value if isinstance(value, dict) else value
    (base / "loop.yaml").write_text(yaml.safe_dump(document, allow_unicode=True))
    return load(base / "loop.yaml"), base


def told(loop: ResearchLoop, base: Path) -> list[str]:
    return [str(problem) for problem in check_folders(loop, read_folders(loop, base))]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["python3", "tran.py"], 'command[1]: there is no "tran.py" in the folder'),
        (["sh", "/no/such.sh"], "on this machine"),
        (["python3", "train.py", "out.py"], ""),  # may be written
        (["python3", "-m", "train"], ""),
        (["python3", "./train.py"], ""),
    ],
)
def test_a_script_that_is_not_there_is_told(tmp_path: Path, command: list[str], words: str) -> None:
    loop, base = campaign(tmp_path, experiment={"command": command})
    found = told(loop, base)
    assert found == [] if not words else words in found[0]


def test_what_is_probably_not_meant_is_a_note(tmp_path: Path) -> None:
    loop, base = campaign(
        tmp_path, boundaries={"editable": ["recipe.json", "x/*"]}, experiment={"command": ["env", "python3", "tran.py"]}
    )
    assert told(loop, base) == []
    assert [problem.field for problem in folder_notes(loop, read_folders(loop, base))] == [
        "spec.boundaries.editable[1]",
        "spec.experiment.command[2]",
    ]


NOWHERE = "import os, helper\nfrom no_such import nn\ntry:\n    import flash\nexcept ImportError:\n    pass\n"


@pytest.mark.parametrize(
    ("script", "lacks", "words"),
    [
        pytest.param(
            NOWHERE,
            "no_such",
            'has no module "no_such" that train.py imports; install it there',
            id="missing",
        ),
        pytest.param(NOWHERE, "", "", id="it has all"),
        pytest.param("import pydantic", "pydantic", "the Python of rloop has it: PATH=", id="only here"),
        pytest.param("import os, helper", "helper", "", id="beside it, or Python's own"),
        pytest.param("import (", "x", "", id="no Python"),
    ],
)
def test_a_python_without_the_modules_of_its_script_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, lacks: str, words: str
) -> None:
    python = tmp_path / "bin" / "python3"
    python.parent.mkdir()
    python.write_text(f"#!/bin/sh\necho {lacks}\n")
    python.chmod(0o755)
    monkeypatch.setenv("PATH", f"{python.parent}:/usr/bin:/bin")
    loop, base = campaign(tmp_path)
    (base / "task/train.py").write_text(script)
    (base / "task/helper.py").touch()
    found = [one for one in folder_notes(loop, read_folders(loop, base)) if one.field == "spec.experiment.command[0]"]
    assert [f'"python3" is {python}, which ' in str(one) and words in str(one) for one in found] == [True] * bool(words)


def test_a_folder_that_differs_from_the_frozen_one_is_a_note(tmp_path: Path) -> None:
    loop, base = campaign(tmp_path, agent={"references": {"path": "./papers"}})
    (base / "papers").mkdir()
    (base / "papers/kuhn.md").write_text("first")
    first = read_folders(loop, base)
    sealed = SealedTask(
        task=files_digest(first.task),
        evaluation=files_digest(first.evaluation),
        references=files_digest(first.references),
    )
    assert frozen_notes(loop, sealed, first) == []
    (base / "papers/kuhn.md").write_text("second")
    (base / "task/train.py").write_text("second")
    shutil.rmtree(base / "evaluation")
    assert [one.field for one in frozen_notes(loop, sealed, read_folders(loop, base))] == [
        "spec.task.path",
        "spec.agent.references.path",
    ]


def test_names_with_spaces_and_unicode_are_fine(tmp_path: Path) -> None:
    loop, base = campaign(tmp_path)
    (base / "task/notes – größer.txt").write_text("x")
    assert told(loop, base) == []


def test_every_missing_folder_is_told_at_once(tmp_path: Path) -> None:
    loop, base = campaign(
        tmp_path,
        task={"path": "./tsk"},
        evaluation={"code": {"path": "loop.yaml"}, "heldOut": {"path": "none"}, "finalHeldOut": {"path": "none"}},
    )
    fields = [problem.field for problem in check_folders(loop, read_folders(loop, base))]
    assert fields == [
        "spec.task.path",
        "spec.evaluation.code.path",
        "spec.evaluation.heldOut.path",
        "spec.evaluation.finalHeldOut.path",
    ]


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    loop, base = campaign(tmp_path, evaluation={"heldOut": {"path": "held"}})
    shutil.rmtree(base / "task")
    (base / "task").mkdir()
    (base / "held/inner").mkdir(parents=True)
    assert [line.partition(":")[0] for line in told(loop, base)] == ["spec.task.path", "spec.evaluation.heldOut.path"]
    assert all("has no files" in line for line in told(loop, base))


def test_what_agents_must_not_see_does_not_lie_in_the_task(tmp_path: Path) -> None:
    loop, base = campaign(tmp_path, evaluation={"heldOut": {"path": "task/held"}})
    (base / "task/held").mkdir()
    (base / "task/held/data").write_text("secret")
    assert any("inside the task, which agents can read" in line for line in told(loop, base))


def test_links_that_point_outside_are_refused(tmp_path: Path) -> None:
    loop, base = campaign(tmp_path, evaluation={"heldOut": {"path": "held"}})
    (base / "held").mkdir()
    (base / "held/data").write_text("x")
    (base / "held/same").symlink_to("data")
    assert told(loop, base) == []
    (base / "task/passwd").symlink_to("/etc/passwd")
    (base / "held/passwd").symlink_to("/etc/passwd")
    assert [line.partition(":")[0] for line in told(loop, base)] == ["spec.task.path", "spec.evaluation.heldOut.path"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    loop, base = campaign(tmp_path)
    (base / "task/kuhn.py").chmod(0)
    assert any("cannot be read" in line for line in told(loop, base))


@pytest.mark.parametrize(
    ("glob", "words"),
    [
        ("./recipe.json", 'write "recipe.json"'),
        ("src/", 'write "src/**"'),
        ("src", "is a folder"),
        ("a//b", "empty part"),
        ("src\\x", "separate folders with /"),
        ("*.{json,yaml}", "only *, ** and ? are supported"),
        ("a**/b", "** must be alone"),
    ],
)
def test_a_glob_that_can_match_nothing_is_refused(tmp_path: Path, glob: str, words: str) -> None:
    loop, base = campaign(tmp_path, boundaries={"editable": ["recipe.json", glob]})
    (base / "task/src").mkdir()
    (base / "task/src/a.py").write_text("")
    (line,) = told(loop, base)
    assert line.startswith("spec.boundaries.editable[1]: ")
    assert words in line


def test_a_file_whose_name_has_brackets_may_be_named(tmp_path: Path) -> None:
    loop, base = campaign(tmp_path, boundaries={"editable": ["recipe.json", "a[1].txt"]})
    (base / "task/a[1].txt").write_text("")
    assert told(loop, base) == []


SPACE = """\
file: recipe.json
dimensions:
  - {name: rate, key: learning_rate, low: 0.1, high: 20.0, log: true, default: 1.0}
"""


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("low: 0.1", "low: 1e-1", 'task/space.yaml: dimension "rate": low: must be a number: write 0.1'),
        ("low: 0.1", "lo: 0.1", 'task/space.yaml: dimension "rate": lo: unknown field; did you mean low?'),
        ("low: 0.1", "low: 30.0", 'task/space.yaml: dimension "rate": low (30.0) must be less than high'),
        ("default: 1.0", "default: 99.0", "is outside"),
        ("file: recipe.json", "file: other.json", '"other.json" is not among the text files of the task; give'),
        ("file: recipe.json", "file: recipes.json", "of the task; did you mean recipe.json?"),
        ("name: rate", "nam: rate", "task/space.yaml: dimensions[0].nam: unknown field; did you mean name?"),
        ("file: recipe.json", "file: train.py", "must be a .yaml or .json file"),
        ("dimensions:", "dimension:", "did you mean dimensions?"),
        ("low: 0.1", "low: 0.1, low: 0.2", "occurs twice"),
        ("low: 0.1, high: 20.0", "low: 5.0, high: 20.0, default: 6.0", "occurs twice"),
        ("high: 20.0, log: true, default: 1.0", "high: 0.5, default: 0.2", "recipe.json"),
        ("key: learning_rate", "key: learning-rate", 'has no "learning-rate": did you mean "learning_rate"?'),
        ("default: 1.0", "default: 2.0", 'default is 2.0, but "recipe.json" has 1.0'),
    ],
)
def test_a_space_is_checked_against_the_task(tmp_path: Path, before: str, after: str, words: str) -> None:
    loop, base = campaign(tmp_path)
    (base / "task/recipe.json").write_text('{"learning_rate": 1.0}')
    (base / "task/space.yaml").write_text(SPACE)
    assert told(loop, base) == []
    (base / "task/space.yaml").write_text(SPACE.replace(before, after))
    (line,) = told(loop, base)
    assert line.startswith(("task/space.yaml: ", "task/recipe.json: "))
    assert words in line


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ('{"learning_rate": "1.0"}', 'task/recipe.json: "learning_rate" must be a number: write 1 (without quotes)'),
        ("", "task/recipe.json: is empty; write the values into it that space.yaml varies"),
        ("{", "task/recipe.json: is not valid JSON: line 1"),
    ],
)
def test_a_json_file_is_told_of_in_the_terms_of_json(tmp_path: Path, recipe: str, said: str) -> None:
    loop, base = campaign(tmp_path)
    (base / "task/space.yaml").write_text(SPACE)
    (base / "task/recipe.json").write_text(recipe)
    (line,) = told(loop, base)
    assert line.startswith(said)


def test_an_empty_space_is_not_called_a_manifest(tmp_path: Path) -> None:
    loop, base = campaign(tmp_path)
    (base / "task/space.yaml").write_text("")
    assert told(loop, base) == [
        "task/space.yaml: is empty; name the file of the values and their dimensions (docs/task-contract.md)"
    ]


@pytest.mark.parametrize(
    ("written", "remedy"), [("3e-6", "3.0e-6"), ("1e+22", "1.0e+22"), ("'0.05'", "0.05"), ("'5'", "5"), ("1e3", "1000")]
)
def test_a_number_that_yaml_takes_for_text_says_how_to_write_it(tmp_path: Path, written: str, remedy: str) -> None:
    loop, base = campaign(tmp_path, boundaries={"editable": ["recipe.yaml"]})
    (base / "task/space.yaml").write_text(SPACE.replace("recipe.json", "recipe.yaml"))
    (base / "task/recipe.yaml").write_text(f"learning_rate: {written}\n")
    (line,) = told(loop, base)
    assert line.startswith(f'task/recipe.yaml: "learning_rate" must be a number: write {remedy} (YAML reads ')
    assert yaml.safe_load(remedy) == float(written.strip("'"))


def test_a_space_whose_file_agents_may_not_edit_is_refused(tmp_path: Path) -> None:
    loop, base = campaign(tmp_path, boundaries={"editable": ["train.py"]})
    (line,) = told(loop, base)
    assert line.startswith("spec.boundaries.editable: does not cover")


def test_a_policy_needs_a_space(tmp_path: Path) -> None:
    loop, base = campaign(tmp_path)
    (base / "task/space.yaml").unlink()
    (line,) = told(loop, base)
    assert line.startswith("spec.agent.policy: ")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["no-such-program-here"], "there is no program"),
        (["python3 train.py"], "['python3', 'train.py']"),
        (["/no/such/program"], "no executable program"),
        (["./missing.sh"], '"missing.sh" is not in the folder'),
        (["./train.py"], '"train.py" is not executable'),
        (["train.py"], 'write "./train.py"'),
        ([""], "is empty"),
    ],
)
def test_a_command_that_cannot_start_is_refused(tmp_path: Path, command: list[str], words: str) -> None:
    loop, base = campaign(tmp_path, experiment={"command": command})
    (base / "task/train.py").chmod(0o644)
    (line,) = told(loop, base)
    assert line.startswith("spec.experiment.command[0]: ")
    assert words in line


@pytest.mark.parametrize(
    ("command", "place", "words"),
    [
        (["./agent"], 0, "there is no executable program"),
        (["python3", "./agent.py"], 1, 'there is no "./agent.py" next to the manifest; put it there'),
        (["no-such-program-here"], 0, "there is no program"),
        (["python3", "mine.py"], 1, 'for the file next to the manifest write "./mine.py"'),
    ],
)
def test_a_command_of_an_agent_that_cannot_start_is_refused(
    tmp_path: Path, command: list[str], place: int, words: str
) -> None:
    loop, base = campaign(tmp_path)
    (base / "mine.py").write_text("")
    for given, problems in ((command, 1), (["python3", "./mine.py"], 0)):
        agent = type(loop.spec.agent)(image="any", command=given)
        changed = loop.model_copy(update={"spec": loop.spec.model_copy(update={"agent": agent})})
        lines = told(changed, base)
        assert len(lines) == problems
        assert all(line.startswith(f"spec.agent.command[{place}]: ") and words in line for line in lines)


def test_a_script_of_the_task_may_be_the_program(tmp_path: Path) -> None:
    loop, base = campaign(tmp_path, experiment={"command": ["./train.py"]})
    (base / "task/train.py").chmod(0o755)
    assert told(loop, base) == []


def test_generating_removes_the_definition_of_a_kind_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "crds").mkdir()
    (tmp_path / "crds/rloop.dev_olds.yaml").write_text("")
    made = generate(tmp_path)
    assert sorted(path.name for path in tmp_path.glob("crds/*")) == sorted(Path(name).name for name in made[:3])
    assert (tmp_path / "docs/crd-reference.md").read_text().startswith("<!-- Generated")
