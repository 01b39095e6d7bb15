"""A campaign's folders packed for a cluster: what stands in the kustomization.yaml, and what cannot be packed."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from rloop.errors import BadInput
from rloop_operator.generate import EXAMPLE_IMAGE
from rloop_operator.user_files.packing import FILE, MAX_BYTES, pack

EXAMPLES = Path(__file__).parents[3] / "examples"
IMAGE = "example.org/python:3"
Change = Callable[[Path, dict[str, Any]], None]


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The folder of an example with all three kinds of folders, to be changed."""
    return Path(shutil.copytree(EXAMPLES / "02-shell-awk", tmp_path / "mine"))


def packed(folder: Path, image: str | None = IMAGE) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(pack(folder / "loop.yaml", image).text)
    return document


def changed(folder: Path, change: Change) -> Path:
    """The manifest after a change of it and of the files beside it."""
    file = folder / "loop.yaml"
    document = yaml.safe_load(file.read_text())
    change(folder, document)
    file.write_text(yaml.safe_dump(document))
    return file


@pytest.mark.parametrize(
    ("name", "image"),
    [("01-kuhn-selfplay", EXAMPLE_IMAGE), ("02-shell-awk", EXAMPLE_IMAGE), ("03-grpo-addition", None)],
)
def test_an_examples_own_is_what_a_user_gets(name: str, image: str | None) -> None:
    assert (EXAMPLES / name / FILE).read_text() == pack(EXAMPLES / name / "loop.yaml", image).text


def test_references_go_into_a_config_map(example: Path) -> None:
    def with_papers(folder: Path, document: dict[str, Any]) -> None:
        (folder / "papers" / "deep").mkdir(parents=True)
        (folder / "papers" / "deep" / "note.md").write_text("read me")
        llm = {"provider": "main", "model": "small-1"}
        document["spec"]["agent"] = {"llm": llm, "references": {"path": "./papers"}}

    changed(example, with_papers)
    document = packed(example)
    made = {one["name"]: one["files"] for one in document["configMapGenerator"]}
    assert made["shell-awk-reference-files"] == ["deep--note.md=papers/deep/note.md"]
    assert "/spec/agent/references" in document["patches"][0]["patch"]


def test_files_go_where_their_like_may_be_read(example: Path) -> None:
    document = packed(example)
    made = {one["name"]: one["files"] for one in document["configMapGenerator"]}
    assert set(made) == {"shell-awk-task-files", "shell-awk-evaluation-files"}
    assert "points.txt=task/points.txt" in made["shell-awk-task-files"]
    assert "held-out" not in str(made)
    assert document["secretGenerator"] == [{"name": "shell-awk-held-out", "files": ["points.txt=held-out/points.txt"]}]
    assert document["resources"] == ["loop.yaml"]
    assert "namespace" not in document


def test_the_manifest_takes_them_from_there(example: Path) -> None:
    patch = {one["path"]: one["value"] for one in yaml.safe_load(packed(example)["patches"][0]["patch"])}
    assert patch == {
        "/spec/task": {"configMap": {"name": "shell-awk-task-files"}},
        "/spec/evaluation/code": {"configMap": {"name": "shell-awk-evaluation-files"}},
        "/spec/evaluation/heldOut": {"secret": "shell-awk-held-out"},
        "/spec/experiment/image": IMAGE,
    }


def test_a_path_that_is_no_key_gets_one_and_keeps_its_place(example: Path) -> None:
    for path in ("a/b.txt", "a--b.txt", "ü n.txt", "..dots", "y"):
        (example / "task" / path).parent.mkdir(exist_ok=True)
        (example / "task" / path).touch()
    document = packed(example)
    items = yaml.safe_load(document["patches"][0]["patch"])[0]["value"]["configMap"]["items"]
    assert sorted(items.values()) == sorted(
        path.relative_to(example / "task").as_posix() for path in (example / "task").rglob("*") if path.is_file()
    )
    assert all(key.isascii() and " " not in key and "/" not in key and ".." not in key for key in items)
    assert sorted(document["configMapGenerator"][0]["files"]) == sorted(f"{k}=task/{p}" for k, p in items.items())
    assert items["y"] == "y"
    assert "'y': 'y'" in document["patches"][0]["patch"]


def test_an_image_in_the_manifest_is_taken_and_another_one_given_wins(example: Path) -> None:
    def change(_: Path, document: dict[str, Any]) -> None:
        document["spec"]["experiment"]["image"] = "theirs"
        document["metadata"]["namespace"] = "research"

    changed(example, change)
    assert "image" not in packed(example, None)["patches"][0]["patch"]
    assert packed(example, None)["namespace"] == "research"
    assert IMAGE in packed(example)["patches"][0]["patch"]


def _outside(folder: Path, document: dict[str, Any]) -> None:
    shutil.copytree(folder / "task", folder.parent / "task")
    document["spec"]["task"]["path"] = "../task"


def _large(folder: Path, document: dict[str, Any]) -> None:
    (folder / "task" / "large.bin").write_bytes(bytes(MAX_BYTES))


def _equals(folder: Path, document: dict[str, Any]) -> None:
    (folder / "evaluation" / "a=b").touch()


def _nested(folder: Path, document: dict[str, Any]) -> None:
    (folder / "held-out" / "more").mkdir()
    (folder / "held-out" / "more" / "points.txt").touch()


def _missing(folder: Path, document: dict[str, Any]) -> None:
    shutil.rmtree(folder / "held-out")


def _not_built(folder: Path, document: dict[str, Any]) -> None:
    document["spec"]["evaluation"]["comparison"] = "Paired"


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        (_outside, "spec.task.path", ['"../task"', "outside", "move it"]),
        (_large, "spec.task.path", ['"./task"', "KiB", "into the image"]),
        (_equals, "spec.evaluation.code.path", ['"a=b"', "rename it"]),
        (_nested, "spec.evaluation.heldOut.path", ['"more/points.txt"', "cannot contain folders"]),
        (_missing, "spec.evaluation.heldOut.path", ["held-out", "does not exist"]),
        (_not_built, "spec.evaluation.comparison", ["Paired is not supported yet"]),
    ],
)
def test_what_cannot_be_packed_is_named_with_a_remedy(
    example: Path, change: Change, field: str, words: list[str]
) -> None:
    file = changed(example, change)
    with pytest.raises(BadInput) as refused:
        pack(file, IMAGE)
    (problem,) = refused.value.problems
    assert problem.field == field
    assert [word for word in words if word not in problem.message] == []


def test_without_an_image_it_says_where_one_can_be_given(example: Path) -> None:
    with pytest.raises(BadInput) as refused:
        pack(example / "loop.yaml")
    assert str(refused.value).startswith("spec.experiment.image: is missing")
    assert "--image" in str(refused.value)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")
def test_kustomize_makes_a_manifest_that_a_cluster_takes(example: Path) -> None:
    (example / FILE).write_text(pack(example / "loop.yaml", IMAGE).text)
    built = subprocess.run(["kubectl", "kustomize", example], check=True, capture_output=True, text=True).stdout
    kinds = {one["kind"]: one for one in yaml.safe_load_all(built)}
    assert set(kinds) == {"ConfigMap", "Secret", "ResearchLoop"}
    assert json.dumps(kinds["ResearchLoop"]).count('"path"') == 0
