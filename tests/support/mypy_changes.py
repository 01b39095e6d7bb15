"""A plugin of mypy: `model.changed(field=value)` accepts the fields of that model only, with values of their types.

Loaded by mypy (pyproject.toml), and the methods of a draft that change a status have the same check. Python has no
type for "some of this class's fields", and a second list of all fields beside the models would go stale.
"""

from __future__ import annotations

from collections.abc import Callable

from mypy.nodes import ARG_NAMED_OPT, TypeInfo, Var
from mypy.plugin import MethodSigContext, Plugin
from mypy.types import CallableType, FunctionLike, Instance, Type, get_proper_type
from typing_extensions import override

BASE = "rloop.api.common.Model"
CHANGED = f"{BASE}.changed"
DRAFT = "rloop.decide.draft.Draft"
STATUSES = {
    f"{DRAFT}.write": "rloop.api.loop_status.ResearchLoopStatus",
    f"{DRAFT}.write_experiment": "rloop.api.experiment.ResearchExperimentStatus",
    f"{DRAFT}.write_iteration": "rloop.api.iteration.ResearchIterationStatus",
}
"""Methods that change a status -> the model of that status."""


class Changes(Plugin):
    """See the module."""

    @override
    def get_method_signature_hook(self, fullname: str) -> Callable[[MethodSigContext], FunctionLike] | None:
        """The signature of `changed`, and of each method in STATUSES."""
        if fullname.endswith(".changed"):
            return self._changed
        status = STATUSES.get(fullname)
        return None if status is None else lambda context: self._of_status(context, status)

    def _changed(self, context: MethodSigContext) -> FunctionLike:
        owner = get_proper_type(context.type)
        if not isinstance(owner, Instance) or not owner.type.has_base(BASE):
            return context.default_signature
        return _with(context.default_signature, fields(owner.type))

    def _of_status(self, context: MethodSigContext, model: str) -> FunctionLike:
        found = self.lookup_fully_qualified(model)
        assert found is not None, f"there is no model {model}"
        assert isinstance(found.node, TypeInfo)
        return _with(context.default_signature, fields(found.node))


def fields(model: TypeInfo) -> dict[str, Type]:
    """The fields of a model and of its bases, with their types."""
    found: dict[str, Type] = {}
    for base in reversed(model.mro):
        if base.has_base(BASE) and base.fullname != BASE:
            for name, symbol in base.names.items():
                node = symbol.node
                if isinstance(node, Var) and node.type is not None and not node.is_classvar and name[0] != "_":
                    found[name] = node.type
    found.pop("model_config", None)
    return found


def _with(signature: CallableType, known: dict[str, Type]) -> CallableType:
    """The signature with one optional argument by name for each field, in the place of `**changes`."""
    kept = len(signature.arg_names) - 1
    return signature.copy_modified(
        arg_types=[*signature.arg_types[:kept], *known.values()],
        arg_kinds=[*signature.arg_kinds[:kept], *[ARG_NAMED_OPT] * len(known)],
        arg_names=[*signature.arg_names[:kept], *known],
    )


def plugin(_version: str) -> type[Plugin]:
    """What mypy calls."""
    return Changes
