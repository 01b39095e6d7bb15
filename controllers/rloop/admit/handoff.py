"""Admission of a session's handoff: the drafts need valid paths and a limited size.

Called by the gateway when a session finishes.
"""

from __future__ import annotations

from rloop.admit.files import check_path
from rloop.api.wire import DRAFT_BYTES, FinishRequest
from rloop.errors import Refused


def admit(request: FinishRequest) -> None:
    """Raises Refused (PathInvalid, TooLarge) unless the drafts can be stored."""
    for path in request.drafts:
        check_path(path)
    size = sum(len(text.encode()) for text in request.drafts.values())
    if size > DRAFT_BYTES:
        raise Refused("TooLarge", f"the drafts have {size} bytes; the maximum is {DRAFT_BYTES}: omit some")
