"""Removes secrets from what a session writes: its own token, and strings that look like keys.

Called by the transcript. The providers' keys are in the proxy and not in this process, but a task's file or a program's
output may contain a key, and transcripts are kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

MARK = "[redacted]"
SHORTEST = 8
"""Minimum length of a secret to redact; a shorter one would match ordinary words."""
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
