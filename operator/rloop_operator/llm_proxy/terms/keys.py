"""Reads the providers' keys, and removes them, and strings that look like keys, from everything but the call itself.

Called for each call (`key_of`), and for every text that goes to an agent, a status or a log (`Redactor`).
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from rloop.errors import RloopError
from rloop_operator.llm_proxy.terms.providers import Provider

KEY_BYTES = 8192
SHORTEST = 6
"""Minimum length of a key to redact; a shorter one could be any word."""
MASK = "[redacted]"
KEY_SHAPED = re.compile(
    r"""(?xi)
    \b(?:sk|pk|rk|key|gsk|xai|hf|ghp|gho|glpat|nvapi)[-_][a-z0-9_\-]{12,}   # most providers' and some others'
    | \bAIza[a-z0-9_\-]{20,}
    | \bAKIA[a-z0-9]{12,}
    | \beyJ[a-z0-9_\-]{8,}\.[a-z0-9_\-]{8,}\.[a-z0-9_\-]+                    # a JSON web token
    | (?<=bearer\s)[a-z0-9._~+/\-]{8,}=*
    | (?<=x-api-key:\s)\S{8,}
    | (?<=://)[^/\s:@]+:[^/\s@]+(?=@)                                         # user and password in a URL
    """
)


class KeyMissing(RloopError):
    """A key cannot be read. The message names its location, never its content."""


class Redactor:
    """Knows all keys that were read, including those before a rotation."""

    def __init__(self) -> None:
        self._keys: dict[str, None] = {}

    def key_of(self, provider: Provider) -> str | None:
        """The provider's current key; None if it needs none. Raises KeyMissing."""
        if provider.key_file is not None:
            place, key = f"keyFile {provider.key_file}", _from_file(provider.key_file)
        elif provider.key_env is not None:
            place, key = f"the environment variable {provider.key_env}", os.environ.get(provider.key_env, "").strip()
        else:
            return None
        if provider.key_file is None and not key:
            raise KeyMissing(f"{place} is unset or empty: export it")
        if not key or len(key) > KEY_BYTES or not (key.isascii() and key.isprintable()) or " " in key:
            raise KeyMissing(f"{place} contains no key: one line without spaces is expected")
        if len(key) >= SHORTEST:
            self._keys[key] = None
        return key

    def text(self, text: str) -> str:
        """The text without the keys that were read, and without strings that look like keys."""
        for key in self._keys:
            text = text.replace(key, MASK)
        return KEY_SHAPED.sub(MASK, text)

    def answer(self, content: bytes) -> bytes:
        """A model's answer without our keys. Its other content is the model's and stays unchanged."""
        for key in self._keys:
            if (found := key.encode()) in content:
                content = content.replace(found, MASK.encode())
        return content


def _from_file(path: str) -> str:
    """Content of the file, opened anew each time: the kubelet updates a mounted Secret by switching a symbolic link."""
    try:
        with Path(path).expanduser().open("rb") as stream:
            return stream.read(KEY_BYTES + 1).decode().strip()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
    except RuntimeError:
        why = "the home directory of that user is unknown"
    raise KeyMissing(f"keyFile {path} cannot be read ({why})")
