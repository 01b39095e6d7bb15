"""The exception tree of the whole project.

```
RloopError                 every message names the remedy
|- BadInput                the user's manifest or files are wrong; exit 2
|- Refused                 the gateway's admission rejects a request; has a reason
|- NotFound                no object has that name
|- Conflict                another writer was first: read again and decide again
|- Blocked                 the environment denies what the campaign needs; it waits until the cause is gone
|- Unstartable             the inputs of a workload are lost for good; it has failed
|- InUse                   another process owns the run folder
`- Corrupt                 stored state that cannot be read
```
"""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import override

from rloop.reasons import Reason


class RloopError(Exception):
    """Base of every error that this project raises on purpose."""


def readable(text: str) -> str:
    """The text with lone surrogates escaped: JSON and YAML can contain them, but responses and terminals cannot."""
    return text.encode("utf-8", "backslashreplace").decode()


@dataclass(frozen=True, slots=True)
class InputProblem:
    """One problem of the input."""

    field: str
    """Field path in the manifest (`spec.objective.target`), or a file."""
    message: str
    """What is wrong, and the remedy."""

    @override
    def __str__(self) -> str:
        return readable(f"{self.field}: {self.message}")


class BadInput(RloopError):
    """The user's manifest or files are wrong. All problems are reported at once."""

    def __init__(self, *problems: InputProblem) -> None:
        self.problems = problems
        super().__init__("\n".join(map(str, problems)))


class Refused(RloopError):
    """The gateway's admission rejects a request."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        self.message = readable(message)
        super().__init__(f"{reason}: {self.message}")


class NotFound(RloopError):
    """No object has that name."""


class Conflict(RloopError):
    """Another writer was first, or an object of that name exists. Read again and decide again."""


class Blocked(RloopError):
    """The environment denies something that the campaign needs. The campaign waits and retries by itself."""

    def __init__(self, reason: Reason, about: str, message: str) -> None:
        self.reason = reason
        """Reason of the condition."""
        self.about = about
        """Name of the object or workload concerned."""
        self.message = message
        """The obstacle, and the remedy."""
        super().__init__(f"{reason}: {message}")


class Unstartable(RloopError):
    """The inputs of a workload are lost for good: it has failed, and no further attempt can help."""


class InUse(RloopError):
    """Another process owns the run folder."""


class Corrupt(RloopError):
    """Stored state cannot be read."""
