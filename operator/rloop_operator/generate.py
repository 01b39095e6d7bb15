"""`python -m rloop_operator.generate [--out DIR]`: write every file that is derived from the models.

Called by `make generate`, and by `make verify`, which generates into a copy and shows the difference. The API
server, `kubectl explain` and the docs all use these files, so none of them can differ from the code.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rloop.api.common import GROUP
from rloop.crd.definitions import KINDS, definition
from rloop.crd.reference import reference
from rloop.reasons import Reason
from rloop_operator.gateway.protocols import openapi
from rloop_operator.user_files.packing import FILE, pack
from rloop_operator.user_files.yaml_file import read_mapping
from rloop_operator.user_files.yaml_text import dump

GATEWAY_MARK = "# Generated from operator/rloop_operator/gateway/verbs/table.py by `make generate`. Do not edit.\n"
MARK = "# Generated from controllers/rloop/api by `make generate`. Do not edit.\n"
REASONS_MARK = "<!-- Reasons: generated from controllers/rloop/reasons.py by `make generate`. Do not edit. -->"
REASONS_END = "<!-- End of the reasons. -->"
ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
EXAMPLE_IMAGE = "docker.io/library/python:3.11-slim-bookworm"
"""A public image with everything that the examples need: Python, sh and awk."""


def chart_template(document: dict[str, Any]) -> str:
    """A CRD as a chart template, so that an upgrade updates it; uninstalling keeps the CRD and all its objects."""
    metadata = document["metadata"] | {"annotations": {"helm.sh/resource-policy": "keep"}}
    text = dump(document | {"metadata": metadata}, MARK).replace("{{", '{{ "{{" }}')
    return f"{{{{- if .Values.crds.install }}}}\n{text}{{{{- end }}}}\n"


def documents() -> dict[str, Callable[[], str]]:
    """Path in the repository -> function that generates the file. Add one line here for a new derived file."""
    made: dict[str, Callable[[], str]] = {
        f"crds/{GROUP}_{kind.plural}.yaml": lambda kind=kind: dump(definition(kind), MARK)  # type: ignore[misc]
        for kind in KINDS
    }
    made |= {
        f"helm/rloop/templates/{path}": lambda kind=kind: chart_template(definition(kind))  # type: ignore[misc]
        for path, kind in zip(list(made), KINDS, strict=True)
    }
    made |= {
        f"examples/{loop.parent.name}/{FILE}": lambda loop=loop: example(loop)  # type: ignore[misc]
        for loop in sorted(EXAMPLES.glob("*/loop.yaml"))
    }
    made["docs/crd-reference.md"] = reference
    made["docs/troubleshooting.md"] = troubleshooting
    made["docs/openapi.yaml"] = lambda: dump(openapi.document(), GATEWAY_MARK)
    return made


def example(loop: Path) -> str:
    """The kustomization of an example. An example without an image of its own gets EXAMPLE_IMAGE."""
    named = read_mapping(loop)["spec"]["experiment"].get("image")
    return pack(loop, None if named else EXAMPLE_IMAGE).text


def troubleshooting() -> str:
    """The page with the table of all reasons between its two marks; the rest of the page is written by hand."""
    page = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    before, mark, rest = page.partition(REASONS_MARK)
    after = rest[rest.index(REASONS_END) :]
    ends = {"Person": "when you act", "Time": "by itself"}
    rows = [f"| `{one}` | {one.meaning} | {ends[one.ended_by]} | {one.remedy} |" for one in Reason]
    return "\n".join([before + mark, "", "| reason | meaning | ends | remedy |", "|---|---|---|---|", *rows, "", after])


def generate(out: Path) -> list[str]:
    """Write all documents under `out`, delete CRDs of kinds that no longer exist, and return the written paths."""
    made = documents()
    for stale in [*out.glob("crds/*.yaml"), *out.glob("helm/rloop/templates/crds/*.yaml")]:
        if stale.relative_to(out).as_posix() not in made:
            stale.unlink()
    for name, make in made.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(make(), encoding="utf-8")
    return list(made)


def main() -> None:
    """Entry point of the command."""
    parser = argparse.ArgumentParser(prog="python -m rloop_operator.generate", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(), help="the root of the repository (default: here)")
    for name in generate(parser.parse_args().out):
        print(name)


if __name__ == "__main__":
    main()
