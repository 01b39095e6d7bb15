"""Keeps secrets out of what a session writes: its own token, and whatever has the shape of a key.

Called by the transcript and the log. The proxy holds the providers' keys and this process none of them; but a task's
file or a program's output may hold somebody's, and transcripts are kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

MARK = "[redacted]"
SHORTEST = 8
"""A shorter secret would be found in innocent words."""
KEYS = re.compile(
    r"\b(?:sk|pk|rk|xox[abprs]|hf|glpat|gh[pousr]|github_pat|npm|pypi)[-_][A-Za-z0-9_\-]{16,}"
    r"|\bAKIA[0-9A-Z]{16}\b"
    r"|\bAIza[0-9A-Za-z_\-]{30,}"
    r"|\beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}"
    r"|(?<=Bearer )[A-Za-z0-9._~+/=\-]{16,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[^\"-]*(?:-----END [A-Z ]*PRIVATE KEY-----)?"
)


def redacted(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without the secrets, and without key-shaped strings."""
    for secret in secrets:
        if len(secret) >= SHORTEST:
            text = text.replace(secret, MARK)
    return KEYS.sub(MARK, text)
