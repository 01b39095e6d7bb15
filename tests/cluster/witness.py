"""What pods and jobs there were: finished ones go when their result is stored, so they are watched as they come.

Used by the tests of whole campaigns, which look at all of them at the end.
"""

import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.cluster.campaign import Campaign


class Witness:
    """The newest form of each object that was ever seen."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def children(self, kind: str, role: str = "") -> list[dict[str, Any]]:
        """Objects of a kind, of one role or of all, as they were seen last."""
        text, decoder, at = Path(self._folder, kind).read_text(), json.JSONDecoder(), 0
        found: dict[str, dict[str, Any]] = {}
        while (begin := text.find("{", at)) >= 0:
            try:
                one, at = decoder.raw_decode(text, begin)
            except json.JSONDecodeError:  # it is being written
                break
            found[one["metadata"]["uid"]] = one
        return [one for one in found.values() if role in ("", one["metadata"]["labels"].get("rloop.dev/role"))]


@contextmanager
def watching(campaign: Campaign, *kinds: str) -> Iterator[Witness]:
    """Watch the campaign's objects of these kinds."""
    with tempfile.TemporaryDirectory(prefix="rloop-witness-") as folder:
        watches = []
        for kind in kinds:
            words = ["get", kind, "-n", campaign.namespace, "-l", f"rloop.dev/loop={campaign.name}"]
            with Path(folder, kind).open("wb") as file:
                command = [campaign.cluster.program, "--kubeconfig", campaign.cluster.kubeconfig, *words]
                watches.append(subprocess.Popen([*command, "--watch", "-o", "json"], stdout=file))
        try:
            yield Witness(Path(folder))
        finally:
            for watch in watches:
                watch.terminate()
                watch.wait()
