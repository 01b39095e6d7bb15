"""The secret keys of a run folder, from which the seeds of its runs and verifications are derived.

Called by `campaign`. The keys are generated at random once, kept in `seeds.json` with mode 0600, and passed to no
workload. That is no security boundary: workloads run as the same user and can read the file.
"""

from __future__ import annotations

import json
import os
import secrets
from hashlib import sha256

from rloop.errors import Corrupt
from rloop.names import SeedKeys
from rloop_operator.local.storage.file_errors import told
from rloop_operator.local.storage.layout import RunFolder

KEY_BYTES = 32


def seed_keys(layout: RunFolder, seed: int | None) -> SeedKeys:
    """The folder's keys; created if missing. `seed` fixes the seeds of runs, never those of verifications.

    The caller must hold the folder's lock. Raises Corrupt, NotWritable or StorageFull.
    """
    path = layout.seeds
    if path.exists():
        try:
            found = json.loads(path.read_text())
            return SeedKeys(bytes.fromhex(found["runs"]), bytes.fromhex(found["scorings"]))
        except (ValueError, KeyError, TypeError) as error:
            raise Corrupt(f'"{path}" is damaged; delete it: new runs and scorings then get other seeds') from error
    scorings = secrets.token_bytes(KEY_BYTES)
    runs = scorings if seed is None else sha256(f"rloop/runs/{seed}".encode()).digest()
    temporary = path.with_suffix(".tmp")
    with told(path):
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            json.dump({"runs": runs.hex(), "scorings": scorings.hex()}, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    return SeedKeys(runs, scorings)
