"""Identify local callers of the gateway by a random token per process, of which only the hash is stored.

Called by the runtime, which issues tokens, and by the gateway through `rloop_operator.ports.Identity`. It
distinguishes agents that behave well; it does not protect against a hostile process of the same user.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from hashlib import sha256

from typing_extensions import override

from rloop_operator.local.storage import records
from rloop_operator.local.storage.store import LocalStore
from rloop_operator.ports import Caller, Identity


def token_hash(token: str) -> str:
    """The stored hash of a token."""
    return sha256(token.encode()).hexdigest()


class LocalIdentity(Identity):
    """Tokens of live workloads."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store
        self._is_live: Callable[[str], bool] = lambda _: True

    def bind(self, is_live: Callable[[str], bool]) -> None:
        """Set `is_live` (of the runtime): tokens of ended workloads become invalid, not only those of removed ones."""
        self._is_live = is_live

    def issue(self, record: records.WorkloadRecord) -> str:
        """Record a workload with a new token. Returns the token, which is not stored anywhere else."""
        token = self.new_token()
        records.add(self._store.database, record, token_hash(token))
        return token

    @staticmethod
    def new_token() -> str:
        """A new random token."""
        return secrets.token_urlsafe(32)

    @override
    async def caller(self, token: str, peer: str = "") -> Caller | None:
        record = records.find_by_token(self._store.database, token_hash(token))
        if record is None or record.removed or not self._is_live(record.name):
            return None
        return Caller(record.name, record.role, record.loop, record.owner, record.session)
