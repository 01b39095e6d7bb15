r"""The digest of a folder: one hash that two sides compute on their own and compare.

The operator seals a task and an evaluation with it; the verifier checks what it was given before it runs anything. It
is here, independent of files, because two copies of a definition would diverge.

It is the sha256 of the lines `<sha256 of the content><space><space><path>\n` of the folder's regular files, in the
order of their paths as bytes: what `sha256sum` prints. The executable bit is no part of it: a ConfigMap does not keep
it.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256


def manifest_digest(hashes: Mapping[bytes, str]) -> str:
    """The digest from relative path -> sha256 of the content in hex."""
    return sha256(b"".join(_line(path, hashes[path]) for path in sorted(hashes))).hexdigest()


def too_large(total: int, limit: int) -> str:
    """Why a run's artifacts are refused, on either side."""
    return (
        f"the artifacts have {total} bytes, and spec.experiment.maxArtifactBytes is {limit}: raise it in a new loop, "
        "or leave less in $RLOOP_ARTIFACTS"
    )


def _line(path: bytes, content: str) -> bytes:
    """One line. A line break in a name is escaped, or two different folders could read the same."""
    return content.encode() + b"  " + path.replace(b"\\", b"\\\\").replace(b"\n", b"\\n") + b"\n"
