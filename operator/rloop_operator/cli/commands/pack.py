"""`rloop pack`: write the kustomization.yaml beside a manifest and print how to apply it.

Called by the command line. It never overwrites a file that it has not written itself.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from rloop.errors import BadInput, InputProblem
from rloop_operator.cli.commands.validate import check
from rloop_operator.user_files.packing import FILE, MARK
from rloop_operator.user_files.packing import pack as pack_campaign

APPLY_BYTES = 256 * 1024
"""Size limit of the annotation in which a client-side `kubectl apply` stores the object."""


def pack(file: Path, image: str | None) -> None:
    """Write the kustomization.yaml. Raises BadInput with every problem."""
    packed = pack_campaign(file, image)
    target = file.parent / FILE
    try:
        if target.exists() and not target.read_text(encoding="utf-8").startswith(MARK):
            told = (
                "exists and was not written by rloop pack: rename it, or pack a copy of the manifest in another folder"
            )
            raise BadInput(InputProblem(str(target), told))
        target.write_text(packed.text, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(InputProblem(str(target), f"cannot be written ({error})")) from error
    by_server = "" if packed.bytes * 4 < APPLY_BYTES * 3 else "--server-side "
    print(f"wrote {target}; check it with: {check(file)}")
    print(f"then apply it with: kubectl apply {by_server}-k {shlex.quote(str(file.parent))}")
