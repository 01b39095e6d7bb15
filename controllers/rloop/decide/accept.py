"""Is the spec usable, and is the task frozen? First step of the chain.

A problem is a condition and is looked at again in every pass: when the cause goes, the campaign goes on by itself.
"""

from __future__ import annotations

from rloop.decide.draft import Draft

MESSAGE_MAX = 4096


def seal(draft: Draft) -> None:
    """Set Accepted, and remember the hashes of what must not change from now on."""
    observed = draft.observed
    if observed.problems:
        told = "; ".join(map(str, observed.problems))[:MESSAGE_MAX]
        if not any(one.type == "Accepted" and one.message == told for one in draft.status.conditions):
            draft.tell("NotAccepted", told, warning=True)
        draft.condition("Accepted", "False", "InvalidSpec", told)
        return
    if draft.status.sealed is None and observed.sealed is not None:
        draft.write(sealed=observed.sealed)
        draft.tell("Accepted", "the spec is valid and the task is sealed")
    if draft.status.sealed is not None:
        draft.condition("Accepted", "True", "SpecValid", "the spec is valid and the task is sealed")
