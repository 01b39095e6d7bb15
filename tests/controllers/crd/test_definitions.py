"""The CRDs are structural, bounded and as strict as the models they come from."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
import yaml
from pydantic import BaseModel
from tests.support.kstatus import kstatus

from rloop.api.common import Model
from rloop.api.researchloop import FROZEN_FIELDS, ResearchLoop
from rloop.crd.definitions import COPIED, KINDS, Kind, Schema, definition, structural
from rloop.crd.reference import reference
from rloop_operator.user_files.yaml_text import dump

ROOT = Path(__file__).parents[3]
FOLDER = Path(__file__).parents[1] / "manifests"
GOOD: dict[str, Any] = yaml.safe_load((FOLDER / "good.yaml").read_text())
BAD: list[dict[str, Any]] = yaml.safe_load((FOLDER / "bad.yaml").read_text())
RULES = "x-kubernetes-validations"
ALLOWED = {*COPIED, "description", "default", "required", "properties", "additionalProperties", "items", "anyOf", RULES}
BY_NAME = [pytest.param(kind, id=kind.name) for kind in KINDS]


def schema_of(kind: Kind) -> Schema:
    (version,) = definition(kind)["spec"]["versions"]
    schema: Schema = version["schema"]["openAPIV3Schema"]
    return schema


def nodes(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if key in schema:
            yield from nodes(schema[key], path + mark)


def models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The model and all models in its fields."""
    yield model
    for field in model.model_fields.values():
        pending = [field.annotation]
        while pending:
            annotation = pending.pop()
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                yield from models(annotation)
            pending += get_args(annotation)


@pytest.mark.parametrize("kind", BY_NAME)
def test_every_node_has_a_type_and_bounds(kind: Kind) -> None:
    unbounded = []
    for path, node in nodes(schema_of(kind)):
        if path in ("", ".metadata", ".apiVersion", ".kind"):
            continue
        bounds = {
            "string": {"maxLength", "enum", "format"} & node.keys(),
            "array": {"maxItems"} & node.keys(),
            "object": {"maxProperties", "properties"} & node.keys(),
        }
        is_marker = node.get("type") == "object" and path.endswith(".job")
        quantity = node.get("x-kubernetes-int-or-string") and "maxLength" in node
        if not (is_marker or quantity or bounds.get(node.get("type", ""), node.get("type"))):
            unbounded.append(path)
    assert unbounded == []


@pytest.mark.parametrize("kind", BY_NAME)
def test_every_bound_is_one_that_the_api_server_can_compare_with(kind: Kind) -> None:
    # It takes 2**63 - 1 for a negative number, and refuses every value.
    bounds = [
        (path, node[key]) for path, node in nodes(schema_of(kind)) for key in node if key in ("maximum", "minimum")
    ]
    assert [path for path, bound in bounds if abs(bound) >= 2**53] == []


@pytest.mark.parametrize("kind", BY_NAME)
def test_the_schema_is_structural(kind: Kind) -> None:
    for path, node in nodes(schema_of(kind)):
        assert node.keys() <= ALLOWED, (path, node.keys() - ALLOWED)
        assert ("anyOf" in node) == ("x-kubernetes-int-or-string" in node) == ("type" not in node), path
        assert not ({"properties", "additionalProperties"} <= node.keys()), path


@pytest.mark.parametrize("kind", BY_NAME)
def test_every_field_has_a_description(kind: Kind) -> None:
    # Kubernetes describes metadata itself; elements of a list or map are described by their field.
    bare = [path for path, node in nodes(schema_of(kind)) if not node.get("description")]
    assert [path for path in bare if path != ".metadata" and not path.endswith(("[]", "{}"))] == []


@pytest.mark.parametrize("kind", BY_NAME)
def test_a_default_is_never_empty_and_none_stands_inside_a_status(kind: Kind) -> None:
    schema = schema_of(kind)
    for path, node in nodes(schema):
        assert "default" not in node or node["default"] not in (None, [], {}, ""), path
    inside = {key: node for key, node in schema["properties"]["status"].items() if key != "default"}
    assert [path for path, node in nodes(inside) if "default" in node] == []


def test_a_description_names_the_default_that_there_is() -> None:
    told = []
    for kind in KINDS:
        for path, node in nodes(schema_of(kind)):
            found = re.search(r"\(default ([^)]+)\)", node.get("description", ""))
            if found is None:
                continue
            default = node["default"]
            default = default[0] if isinstance(default, list) else default
            number, _, unit = found[1].partition(" ")
            told.append(path)
            assert str(int(number) * 2**30 if unit == "GiB" else found[1]) == str(default), path
    assert len(told) > 20


@pytest.mark.parametrize("kind", BY_NAME)
def test_a_description_is_plain(kind: Kind) -> None:
    # Such sentences had to be read twice: a description is a noun phrase with unit, default and effect.
    riddles = re.compile(r"(?i)\bis none\b|\bso (many|long)\b|\babsent:|\bin a word\b|director's words|for ever")
    found = [
        path
        for path, node in nodes(schema_of(kind))
        if isinstance(told := node.get("description"), str) and riddles.search(told)
    ]
    assert found == []


def test_a_loop_that_no_operator_has_seen_is_not_taken_for_a_healthy_one() -> None:
    status = schema_of(KINDS[0])["properties"]["status"]["default"]
    assert kstatus({"metadata": {"generation": 1}, "status": status}) == "InProgress"
    assert ResearchLoop.model_validate(GOOD | {"status": status}).status.phase == "Pending"


@pytest.mark.parametrize("kind", BY_NAME)
def test_a_default_is_valid_itself(kind: Kind) -> None:
    for _, node in nodes(schema_of(kind)):
        if "default" in node:
            jsonschema.validate(node["default"], node)


def test_the_names_are_those_that_people_type() -> None:
    for kind, short in zip(KINDS, ("rloop", "riter", "rexp"), strict=True):
        whole = definition(kind)
        assert whole["metadata"]["name"] == f"{kind.plural}.rloop.dev"
        assert whole["spec"]["scope"] == "Namespaced"
        assert whole["spec"]["names"]["shortNames"] == [short]
        assert whole["spec"]["names"]["categories"] == ["research"]
        assert whole["spec"]["versions"][0]["subresources"] == {"status": {}}


def test_one_line_tells_the_story() -> None:
    shown = [column.name for column in KINDS[0].columns if not column.wide]
    assert shown == ["Phase", "Best", "Gain", "Iter", "Exp", "Pivots", "Budget", "Age"]


@pytest.mark.parametrize("kind", BY_NAME)
def test_a_column_shows_a_field_that_exists(kind: Kind) -> None:
    fields = dict(nodes(schema_of(kind)))
    for column in kind.columns:
        path = column.path.partition("[?")[0]
        if path != ".metadata.creationTimestamp":
            assert path in fields, column
            assert column.type in (fields[path]["type"], "string"), column


@pytest.mark.parametrize("kind", BY_NAME)
def test_a_validator_of_python_has_a_rule_of_the_api_server(kind: Kind) -> None:
    missing = []
    for model in models(kind.model):
        extra = model.model_config.get("json_schema_extra")
        mirrored = extra.get(RULES) if isinstance(extra, dict) else None
        rules = mirrored if isinstance(mirrored, list) else []
        decorators = model.__pydantic_decorators__
        if len(decorators.model_validators) + len(decorators.field_validators) > len(rules):
            missing.append(model.__name__)
    assert missing == []


def test_the_check_above_would_see_a_missing_rule() -> None:
    checked = {model.__name__ for model in models(ResearchLoop) if model.__pydantic_decorators__.model_validators}
    assert {"TaskSource", "Agent", "Objective", "Guardrail"} <= checked


@pytest.mark.parametrize("kind", BY_NAME)
def test_a_rule_has_a_message_and_points_to_a_field_that_exists(kind: Kind) -> None:
    for path, node in nodes(schema_of(kind)):
        below = {inner for inner, _ in nodes(node)}
        for rule in node.get(RULES, []):
            assert rule["message"], path
            assert rule.get("fieldPath", "") in below, (path, rule)


def test_the_goalposts_are_frozen_by_name() -> None:
    rules = {rule.get("fieldPath"): rule["rule"] for rule in schema_of(KINDS[0])[RULES]}
    for field in FROZEN_FIELDS:
        path = ".spec." + ".".join(field)
        assert f"has(self{path}) == has(oldSelf{path})" in rules[path]
        assert "'Accepted'" in rules[path]


def test_what_the_operator_wrote_once_stays() -> None:
    for kind in KINDS[1:]:
        assert "self == oldSelf" in [r["rule"] for r in schema_of(kind)["properties"]["spec"][RULES]]


def strict(schema: Schema) -> Schema:
    """The schema with unknown fields refused, as kubectl asks the API server to."""
    closed = dict(schema)
    if "properties" in schema:
        closed["properties"] = {name: strict(child) for name, child in schema["properties"].items()}
        closed["additionalProperties"] = False
        if closed["properties"].keys() >= {"apiVersion", "kind", "metadata"}:
            closed["properties"]["metadata"] = {"type": "object"}
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            closed[key] = strict(schema[key])
    return closed


def patched(document: Any, patch: Any) -> Any:
    """The JSON merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        merged[key] = patched(merged.get(key), value)
        if value is None:
            del merged[key]
    return merged


LOOP = jsonschema.Draft202012Validator(strict(schema_of(KINDS[0])))


@pytest.mark.parametrize("path", sorted(ROOT.glob("examples/*/loop.yaml")), ids=lambda path: path.parent.name)
def test_an_example_is_accepted(path: Path) -> None:
    LOOP.validate(yaml.safe_load(path.read_text()))


def test_the_good_manifest_is_accepted() -> None:
    LOOP.validate(GOOD)


@pytest.mark.parametrize("row", BAD, ids=[row["id"] for row in BAD])
def test_the_schema_refuses_what_it_can_express(row: dict[str, Any]) -> None:
    seen = [error.json_path for error in LOOP.iter_errors(patched(GOOD, row["patch"]))]
    assert bool(seen) == (row["by"] == "schema") or row["id"].startswith("YAML makes a date"), seen


def test_what_the_operator_writes_passes_the_schema() -> None:
    loop = ResearchLoop.model_validate(GOOD, by_alias=True, by_name=False)
    LOOP.validate(loop.model_dump(mode="json", by_alias=True, exclude_none=True))


def test_a_field_that_takes_null_in_python_is_simply_optional() -> None:
    class Inner(Model):
        """What it is."""

        size: int

    class Outer(Model):
        """About."""

        inner: Inner | None = None
        """Where it is used."""

    source = Outer.model_json_schema()
    assert structural(source, source["$defs"])["properties"]["inner"] == {
        "description": "Where it is used.",
        "type": "object",
        "required": ["size"],
        "properties": {"size": {"type": "integer"}},
    }


def test_the_reference_names_every_field_of_every_spec() -> None:
    page = reference()
    for kind in KINDS:
        for path, _ in nodes(schema_of(kind)["properties"]["spec"]):
            if path.startswith(".") and not path.endswith(("[]", "{}")):
                assert f"`{path[1:]}`" in page or "{}" in path, path


@pytest.mark.parametrize("word", ["n", "Y"])
def test_words_that_kubernetes_reads_as_booleans_are_quoted(word: str) -> None:
    """Kubernetes reads YAML 1.1, where a plain n is false."""
    assert f"'{word}'" in dump({word: [word]})
    assert yaml.safe_load(dump({word: [word]})) == {word: [word]}
