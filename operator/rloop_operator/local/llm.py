"""The local LLM proxy: in the operator's own event loop, on loopback, with the providers of this machine.

Used by `local.campaign`, and by `rloop run` before it creates a folder. The key stays in this process: agents get the
proxy's address and their own token.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

from rloop.api.researchloop import ResearchLoop
from rloop.errors import InputProblem
from rloop_operator.llm_proxy.app import Proxy
from rloop_operator.llm_proxy.terms.keys import KeyMissing, Redactor
from rloop_operator.llm_proxy.terms.providers import Providers, of_this_machine
from rloop_operator.local.server import kept_listener, serving
from rloop_operator.local.storage.store import LocalStore
from rloop_operator.ports import Identity

REMEDY = (
    "add it to ~/.config/rloop/providers.yaml, or to the file in RLOOP_PROVIDERS, "
    "or set RLOOP_LLM_URL and RLOOP_LLM_KEY (docs/llm-providers.md)"
)


def providers() -> Providers:
    """The providers that this machine and its user configure. Raises BadInput."""
    return of_this_machine(os.environ, Path.home())


def problems(loop: ResearchLoop) -> list[InputProblem]:
    """Problems of the loop's provider, model and prices. Raises BadInput for a configuration that cannot be read."""
    llm = loop.spec.agent.llm
    if llm is None:
        return []
    known = providers()
    provider = known.find(llm.provider)
    if provider is None:
        others = ", ".join(one.name for one in known.providers)
        there_are = f"; there are {others}" if others else ""
        told = f'there is no provider "{llm.provider}" on this machine{there_are}: {REMEDY}'
        return [InputProblem("spec.agent.llm.provider", told)]
    if not provider.allows(loop.metadata.namespace):
        told = f'provider "{provider.name}" is not available in namespace {loop.metadata.namespace}; see its namespaces'
        return [InputProblem("spec.agent.llm.provider", told)]
    try:
        Redactor().key_of(provider)
    except KeyMissing as error:
        return [InputProblem("spec.agent.llm.provider", f'provider "{provider.name}": {error}')]
    model = provider.model(llm.model)
    if model is None:
        models = ", ".join(one.name for one in provider.models)
        told = f'provider "{provider.name}" has no "{llm.model}"; it has {models}'
        return [InputProblem("spec.agent.llm.model", told)]
    if model.prices is None and provider.caps_cost(loop):
        told = f'the cost is limited, but the prices of "{llm.model}" are unknown: add them, or limit tokens'
        return [InputProblem("spec.budget.cost", told)]
    return []


@contextlib.asynccontextmanager
async def serving_llm(
    store: LocalStore, identity: Identity, closing: Callable[[], bool]
) -> AsyncIterator[tuple[str, list[str]]]:
    """Serve while the context lasts. Yields the base URL for agents, and the names of our variables that hold keys."""
    known = providers()
    proxy = Proxy(known, identity, lambda _: store, now=lambda: datetime.now(UTC), closing=closing)
    keeping = asyncio.create_task(proxy.keep())
    try:
        async with serving(proxy.application(), kept_listener(store.database, "llm_port")) as url:
            yield f"{url}/v1", [one.key_env for one in known.providers if one.key_env is not None]
    finally:
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping
