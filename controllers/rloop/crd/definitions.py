"""CustomResourceDefinitions generated from the models.

Called by `python -m rloop_operator.generate`, which writes crds/. Converts Pydantic's JSON schema to the structural
form that the API server requires. Constraints of fields are defined in the models, and only the columns of `kubectl
get` are defined here, so a new field needs no change in this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rloop.api.common import GROUP, VERSION, Condition, Model
from rloop.api.experiment import ResearchExperiment
from rloop.api.iteration import ResearchIteration
from rloop.api.researchloop import ResearchLoop

Schema = dict[str, Any]

COPIED = (
    "type",
    "format",
    "pattern",
    "enum",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
)
"""Keywords with the same meaning in both schemas."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `kubectl get`."""

    name: str
    path: str
    type: str = "string"
    wide: bool = False
    """Shown with `-o wide` only."""
    description: str = ""


AGE = Column("Age", ".metadata.creationTimestamp", "date")
UNSEEN = Condition(
    type="Ready",
    status="Unknown",
    reason="Pending",
    message="no operator has reconciled this loop yet; one must serve its namespace (the chart's watchNamespaces)",
    last_transition_time=datetime.fromtimestamp(0, UTC),
)
"""Default condition. Without it kstatus and GitOps tools consider a loop healthy that no operator serves."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of this project, as it is registered with the API server."""

    model: type[Model]
    short_name: str
    columns: tuple[Column, ...]
    unseen: Condition | None = None
    """The condition of an object that no operator has reconciled yet."""

    @property
    def name(self) -> str:
        return self.model.__name__

    @property
    def plural(self) -> str:
        return f"{self.name.lower()}s"


KINDS = (
    Kind(
        ResearchLoop,
        "rloop",
        (
            Column("Phase", ".status.display.phase", description="Phase, and the most important reason"),
            Column("Best", ".status.display.best", description="Value of the incumbent, with its later runs"),
            Column("Gain", ".status.display.gain", description="Gain of Best over the baseline; positive is better"),
            Column("Iter", ".status.iteration", "integer", description="Number of the latest iteration"),
            Column("Exp", ".status.budget.used.experiments", "integer", description="Number of proposals by agents"),
            Column("Pivots", ".status.pivots", "integer", description="Number of pivots (forced changes of frame)"),
            Column(
                "Budget", ".status.display.budget", description="Consumption of the limit that is closest to its end"
            ),
            AGE,
            Column("Kept", ".status.experiments.accepted", "integer", wide=True),
            Column("Ready", '.status.conditions[?(@.type=="Ready")].status', wide=True),
            Column("Reason", '.status.conditions[?(@.type=="Ready")].reason', wide=True),
            Column("Direction", ".status.currentDirection.title", wide=True),
        ),
        UNSEEN,
    ),
    Kind(
        ResearchIteration,
        "riter",
        (
            Column("Loop", ".spec.loopName"),
            Column("Number", ".spec.number", "integer"),
            Column("Phase", ".status.phase"),
            Column("Outcome", ".status.outcome"),
            Column(
                "Pivot",
                ".spec.pivotDemanded",
                "boolean",
                description="True if its first direction must change the frame",
            ),
            AGE,
        ),
    ),
    Kind(
        ResearchExperiment,
        "rexp",
        (
            Column("Loop", ".spec.loopName"),
            Column("Kind", ".spec.kind"),
            Column("Phase", ".status.phase"),
            Column("Value", ".status.display.value", description="Value on which it was judged"),
            Column("Gain", ".status.display.gain", description="Gain of Value over the incumbent of its time"),
            Column("Reason", ".status.verdict.reason"),
            AGE,
            Column("Title", ".spec.title", wide=True),
        ),
    ),
)


def definition(kind: Kind) -> Schema:
    """The CustomResourceDefinition of `kind`."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.name.lower(),
                "shortNames": [kind.short_name],
                "categories": ["research"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(column) for column in kind.columns],
                    "schema": {"openAPIV3Schema": _root(kind)},
                }
            ],
        },
    }


def _column(column: Column) -> Schema:
    shown: Schema = {"name": column.name, "type": column.type, "jsonPath": column.path}
    if column.description:
        shown["description"] = column.description
    if column.wide:
        shown["priority"] = 1
    return shown


def _root(kind: Kind) -> Schema:
    source = kind.model.model_json_schema(by_alias=True)
    schema = structural(source, source["$defs"])
    properties = schema["properties"]
    # The API server defines these itself, and rejects a schema that says more about metadata.
    properties["apiVersion"] = {"type": "string", "description": f"{GROUP}/{VERSION}"}
    properties["kind"] = {"type": "string", "description": kind.name}
    properties["metadata"] = {"type": "object"}
    properties["status"] = _without_defaults(properties["status"])
    if kind.unseen is not None:
        told = kind.unseen.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        properties["status"]["default"] = {"conditions": [told]}
    schema["required"] = ["spec"]
    return schema


def structural(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    """Pydantic's JSON schema `node` in the structural form of the API server.

    References are replaced by their targets, because a CRD cannot contain references. "X or null" becomes X, because
    the API server treats null as an absent field. additionalProperties: false is dropped: the API server drops unknown
    fields itself, and kubectl rejects them before that.
    """
    if "$ref" in node:
        target = definitions[node["$ref"].removeprefix("#/$defs/")]
        # Keywords at the place of use override those of the model itself.
        return structural({**target, **{key: value for key, value in node.items() if key != "$ref"}}, definitions)
    if "anyOf" in node:
        (only,) = (branch for branch in node["anyOf"] if branch != {"type": "null"})
        return structural(only | {key: value for key, value in node.items() if key != "anyOf"}, definitions)
    schema: Schema = {}
    if "description" in node:
        schema["description"] = " ".join(node["description"].split())
    schema |= {key: node[key] for key in COPIED if key in node}
    if "x-kubernetes-int-or-string" in node:
        del schema["type"]
        schema["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if "const" in node:
        schema["enum"] = [node["const"]]
    default = _default(node.get("default"))
    if default is not None:
        schema["default"] = default
    if "required" in node:
        schema["required"] = node["required"]
    if "items" in node:
        schema["items"] = structural(node["items"], definitions)
    if "properties" in node:
        schema["properties"] = {name: structural(child, definitions) for name, child in node["properties"].items()}
    child, names = _map_of(node)
    if child is not None:
        schema["additionalProperties"] = structural(child, definitions)
    rules = [*node.get("x-kubernetes-validations", []), *_key_rules(names)]
    if rules:
        schema["x-kubernetes-validations"] = rules
    return schema


def _map_of(node: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, Mapping[str, Any]]:
    """Schema of a map's values, and schema of its keys. The first is None if `node` is not a map."""
    names = node.get("propertyNames", {})
    if "patternProperties" in node:
        ((pattern, child),) = node["patternProperties"].items()
        return child, names | {"pattern": pattern}
    child = node.get("additionalProperties")
    return (child, names) if isinstance(child, Mapping) else (None, {})


def _default(value: object) -> object:
    """The default without empty and null parts, which are absent anyway; None if nothing remains."""
    if isinstance(value, Mapping):
        kept = {key: _default(child) for key, child in value.items()}
        return {key: child for key, child in kept.items() if child is not None} or None
    return None if value in ([], "") else value


def _key_rules(names: Mapping[str, Any]) -> list[Schema]:
    """Rules for the keys of a map, because a structural schema cannot bound keys."""
    if "enum" in names:
        allowed = names["enum"]
        return [{"rule": f"self.all(key, key in {allowed})", "message": f"keys are {', '.join(allowed)}"}]
    rules = []
    if "maxLength" in names:
        low, high = names.get("minLength", 0), names["maxLength"]
        rules.append(
            {
                "rule": f"self.all(key, size(key) >= {low} && size(key) <= {high})",
                "message": f"a key has {low} to {high} characters",
            }
        )
    if "pattern" in names:
        pattern = names["pattern"]
        rules.append({"rule": f"self.all(key, key.matches('{pattern}'))", "message": f"a key matches {pattern}"})
    return rules


def _without_defaults(schema: Mapping[str, Any]) -> Schema:
    """The schema without defaults.

    A status is written as a whole by its owner, so a default in it would claim an observation that nobody made.
    """
    bare: Schema = {key: value for key, value in schema.items() if key != "default"}
    for key in ("items", "additionalProperties"):
        if key in bare:
            bare[key] = _without_defaults(bare[key])
    if "properties" in bare:
        bare["properties"] = {name: _without_defaults(child) for name, child in bare["properties"].items()}
    return bare
