"""The exception tree of the whole project.

```
RloopError                 every message names the remedy
|- BadInput                the user's manifest or files; exit 2
|- Refused                 the gateway's admission said no; carries a reason
|- NotFound                no object of that name
|- Conflict                somebody wrote first: read again and decide again
|- Blocked                the world refuses what the campaign needs; it waits until the cause goes
|- Unstartable            what a workload is made from is lost for good; it has failed
|- InUse                   another process owns the run folder
`- Corrupt                 stored state that cannot be read
```
"""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import override


class RloopError(Exception):
    """Base of every error that this project raises on purpose."""


def readable(text: str) -> str:
    """The text with half characters written as escapes: JSON and YAML can hold them, but no answer or terminal can."""
    return text.encode("utf-8", "backslashreplace").decode()


@dataclass(frozen=True, slots=True)
class InputProblem:
    """One thing that is wrong with the input."""

    field: str
    """Field path in the manifest (`spec.objective.target`), or a file."""
    message: str
    """What is wrong, and the remedy."""

    @override
    def __str__(self) -> str:
        return readable(f"{self.field}: {self.message}")


class BadInput(RloopError):
    """The user's manifest or files are wrong; every problem is told at once."""

    def __init__(self, *problems: InputProblem) -> None:
        self.problems = problems
        super().__init__("\n".join(map(str, problems)))


class Refused(RloopError):
    """The gateway's admission refuses a request."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        self.message = readable(message)
        super().__init__(f"{reason}: {self.message}")


class NotFound(RloopError):
    """There is no object of that name."""


class Conflict(RloopError):
    """Somebody else wrote first, or an object of that name exists; read again and decide again."""


class Blocked(RloopError):
    """The world refuses something that the campaign needs; the campaign waits, and tries again by itself."""

    def __init__(self, reason: str, about: str, message: str) -> None:
        self.reason = reason
        """One CamelCase word, the reason of the condition."""
        self.about = about
        """Name of what could not be made."""
        self.message = message
        """What is in the way, and the remedy."""
        super().__init__(f"{reason}: {message}")


class Unstartable(RloopError):
    """What a workload is made from is lost for good: it has failed, and no further attempt can help."""


class InUse(RloopError):
    """Another process owns the run folder."""


class Corrupt(RloopError):
    """Stored state cannot be read."""
