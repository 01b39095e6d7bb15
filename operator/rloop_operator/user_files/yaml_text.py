"""Write documents as YAML text that all YAML parsers used with Kubernetes read in the same way.

Called by the writers of manifests, `rloop_operator.generate` and `rloop_operator.user_files.packing`.
"""

from __future__ import annotations

from typing import Any

import yaml


class Block(str):
    """A text of several lines, written as a YAML literal block."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    """Quotes the strings that YAML 1.1 parses as booleans and PyYAML does not: Kubernetes parses `n` as false."""


def _string(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = "'" if text.lower() in ("y", "n") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _block(dumper: yaml.SafeDumper, text: Block) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|")


_Dumper.add_representer(str, _string)
_Dumper.add_representer(Block, _block)


def dump(document: Any, comment: str = "") -> str:
    """The document as YAML in its own key order, after the comment lines in `comment`."""
    return comment + yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
