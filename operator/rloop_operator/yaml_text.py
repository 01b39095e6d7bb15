"""Documents as YAML text that every reader of Kubernetes' takes for what it is.

Called by what writes manifests: `rloop_operator.generate` and `rloop_operator.packing`.
"""

from __future__ import annotations

from typing import Any

import yaml


class Block(str):
    """A text of several lines, written as it stands."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    """Quotes the words that YAML 1.1 reads as booleans and PyYAML does not: Kubernetes reads `n` as false."""


def _string(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = "'" if text.lower() in ("y", "n") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _block(dumper: yaml.SafeDumper, text: Block) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|")


_Dumper.add_representer(str, _string)
_Dumper.add_representer(Block, _block)


def dump(document: Any, comment: str = "") -> str:
    """A document in its own order, behind lines that begin with #."""
    return comment + yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
