"""`rloop run`: one campaign on this machine, with the operator, its gateway and the patrol in one event loop.

Called by the CLI. Workloads are processes that outlive this process; after a crash the same command adopts them.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from rloop.actions import Event
from rloop.admit.loop import changed_frozen_fields, unsupported
from rloop.api.researchloop import ResearchLoop
from rloop.campaign_state import edited_since_its_budget_ended, finished, may_go_on
from rloop.errors import BadInput, InputProblem, NotFound
from rloop.names import SeedKeys
from rloop.observed import INTERRUPTED, Observed
from rloop_operator.beats import Beats, Sight
from rloop_operator.gateway.protocols.app import app, load_tools
from rloop_operator.gateway.verbs.service import Gateway
from rloop_operator.local import llm
from rloop_operator.local.interrupt import KILL_SECONDS, Interrupt
from rloop_operator.local.protocol.files import ProtocolFiles
from rloop_operator.local.server import kept_listener, serving
from rloop_operator.local.storage import user_requests
from rloop_operator.local.storage.layout import RunLock
from rloop_operator.local.storage.seed_keys import seed_keys
from rloop_operator.local.storage.store import LocalStore
from rloop_operator.local.workloads.identity import LocalIdentity
from rloop_operator.local.workloads.runtime import LocalRuntime
from rloop_operator.reconcile import Shell, reconcile
from rloop_operator.user_files.reading import Folders

TICK_SECONDS = 1.0
"""Seconds between polls of sources without events: requests of other processes, steps of runs, the screen."""
DRAINING_SECONDS = 0.2
"""Seconds between two passes during an orderly end."""
ALIVE_SECONDS = 5.0
LOOK_SECONDS_MAX = 10.0
"""A longer pause between polls means that the machine slept or Ctrl-Z was pressed. No session could send heartbeats
then, so the pause does not count against them.
"""


class View(Protocol):
    """Shows the campaign to the user."""

    def event(self, event: Event) -> None:
        """Called for each transition."""

    def update(self, observed: Observed) -> None:
        """Called after each pass, and often in between."""


def _now() -> datetime:
    return datetime.now(UTC)


async def run(
    loop: ResearchLoop, folder: Path, folders: Folders, view: View, interrupt: Interrupt, *, seed: int | None = None
) -> ResearchLoop:
    """Run the campaign to its end or until it is interrupted. Returns the final loop.

    `folders` are the manifest's folders; the caller has checked those of a new campaign. Raises BadInput, InUse,
    Corrupt.
    """
    with RunLock(folder):
        store = LocalStore(folder, folders.base, seed=seed, folders=folders)
        with contextlib.closing(store):
            await user_requests.take(store)
            stored = await _apply(store, loop)
            if finished(stored) and not edited_since_its_budget_ended(stored):
                return stored
            with interrupt.handling():
                await _run(store, stored.metadata.name, view, interrupt, seed_keys(store.folder, seed))
            return await store.get(ResearchLoop, stored.metadata.name)


async def _apply(store: LocalStore, loop: ResearchLoop) -> ResearchLoop:
    """Create the loop, which the caller has checked, or apply the user's edit to the stored one."""
    others = [one.metadata.name for one in await store.loops() if one.metadata.name != loop.metadata.name]
    if others:
        told = f'the run folder belongs to "{others[0]}"; give another folder with --dir'
        raise BadInput(InputProblem("metadata.name", told))
    try:
        stored = await store.get(ResearchLoop, loop.metadata.name)
    except NotFound:
        await store.seal(loop)  # a campaign whose task is rejected is not created: nobody would wait for its mending
        return await store.create(loop)
    problems = [*changed_frozen_fields(stored, loop), *unsupported(loop, "local")]
    over = finished(stored) and not may_go_on(stored, loop)
    problems += [] if over else llm.problems(loop)
    if problems:
        raise BadInput(*problems)
    # `rloop suspend` does not change the manifest, and it stays in effect until `rloop resume`.
    suspend = loop.spec.suspend or user_requests.suspended_by_request(stored)
    return await store.update_spec(stored.changed(spec=loop.spec.changed(suspend=suspend)))


async def _run(store: LocalStore, name: str, view: View, signals: Interrupt, keys: SeedKeys) -> None:
    identity = LocalIdentity(store)
    beats = Beats(sight := Sight(time.monotonic, LOOK_SECONDS_MAX), lambda: sight.returned_at)
    gateway = Gateway(store, beats, now=_now, changed=lambda: None)
    loop = await store.get(ResearchLoop, name)
    async with contextlib.AsyncExitStack() as stack:
        listener = kept_listener(store.database, "gateway_port")
        url = await stack.enter_async_context(serving(app(lambda _: gateway, identity), listener))
        llm_url, withheld, proxy = "", list[str](), await stack.enter_async_context(contextlib.AsyncExitStack())
        if loop.spec.agent.llm is not None:
            serving_llm = llm.serving_llm(store, identity, signals.drain.is_set)
            llm_url, withheld = await proxy.enter_async_context(serving_llm)
        if loop.spec.agent.command is not None:
            # In the background, long before the first session, whose first request would otherwise take a second.
            loading = asyncio.create_task(asyncio.to_thread(load_tools))
            stack.push_async_callback(asyncio.wait, [loading])
        runtime = LocalRuntime(store, identity, url, llm_url=llm_url, withheld=withheld)

        async def tell(_loop: str, event: Event) -> None:
            view.event(event)

        shell = Shell(store, runtime, beats, _now, keys, tell)
        files = ProtocolFiles(store.folder)
        down_since = store.last_alive()
        alive_at = 0.0
        while True:
            alive_at = await _housekeep(store, alive_at, sight)
            revision = store.revision
            gateway.closing = signals.drain.is_set()
            done = await reconcile(shell, name, down_since=down_since, draining=signals.drain.is_set())
            down_since = down_since if done.conflict else None
            view.update(done.observed)
            files.render(done.observed)
            over = not done.changed and _over(done.observed, draining=signals.drain.is_set())
            if over or signals.kill.is_set() or signals.overdue:
                break
            wait = DRAINING_SECONDS if signals.drain.is_set() else done.look_again
            due = time.monotonic() + (math.inf if wait is None else wait)
            while not done.changed and not await _something_happened(store, revision, runtime, signals, due):
                alive_at = await _housekeep(store, alive_at, sight)
                seen = replace(done.observed, now=_now(), workloads=await runtime.observe(name))
                if _live(seen) != _live(done.observed):
                    break
                view.update(seen)
                files.render(seen)
        if signals.kill.is_set():
            signals.stopped = await _kill(runtime, name)
        await proxy.aclose()
        if llm_url and not signals.kill.is_set():
            # Another pass, because the proxy released its unused reservations of the budget when it closed.
            done = await reconcile(shell, name, draining=signals.drain.is_set())
        files.render(done.observed, final=True)
        signals.left = runtime.live() if signals.drain.is_set() else []
        runtime.close()
        store.beat(_now())


def _live(observed: Observed) -> dict[str, bool]:
    """Whether each workload runs. Compared between observations, because an observed exit causes no further event."""
    return {name: state.exit is None for name, state in observed.workloads.items()}


def _over(observed: Observed, *, draining: bool) -> bool:
    """Whether nothing runs and nothing will start. A suspended loop continues only with the next command."""
    idle = not observed.workloads
    return idle and (draining or observed.loop.spec.suspend or finished(observed.loop))


async def _housekeep(store: LocalStore, alive_at: float, sight: Sight) -> float:
    """Record that the operator is alive and take the requests of other processes. Returns when it was last recorded."""
    sight.look()
    if time.monotonic() - alive_at > ALIVE_SECONDS:
        store.beat(_now())
        alive_at = time.monotonic()
    await user_requests.take(store)
    return alive_at


async def _something_happened(
    store: LocalStore, revision: int, runtime: LocalRuntime, signals: Interrupt, due: float
) -> bool:
    """Wait at most a tick. Returns whether something was written, a workload ended, a signal came, or a pass is due."""
    waits = [
        asyncio.ensure_future(store.changed(revision)),
        asyncio.ensure_future(runtime.wait()),
        asyncio.ensure_future(signals.kill.wait()),
    ]
    if not signals.drain.is_set():
        waits.append(asyncio.ensure_future(signals.drain.wait()))
    left = max(0.0, due - time.monotonic())
    happened, pending = await asyncio.wait(waits, timeout=min(TICK_SECONDS, left), return_when=asyncio.FIRST_COMPLETED)
    for wait in pending:
        wait.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    return bool(happened) or time.monotonic() >= due


async def _kill(runtime: LocalRuntime, name: str) -> list[str]:
    """End every workload now; returns them. The next `rloop run` repeats them, because their intents are stored."""
    ends_at, stopped = time.monotonic() + KILL_SECONDS, set[str]()
    while time.monotonic() < ends_at:
        live = [one for one in (await runtime.observe(name)).values() if one.exit is None]
        if not live:
            return sorted(stopped)
        stopped |= {one.name for one in live}
        for one in live:
            await runtime.stop(one.name, INTERRUPTED)
        await asyncio.sleep(0.1)
    runtime.kill()
    return sorted(stopped)
