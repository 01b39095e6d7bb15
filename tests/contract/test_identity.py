"""What every identity and every board of signs promises of an agent that is a process of its own."""

import asyncio

import pytest
from tests.contract.conftest import CLUSTER, FAKE
from tests.contract.shells import TRIES, Check, Live, agent, ended

from rloop_operator.ports import Caller

ROWS = pytest.mark.parametrize("row", ["local", CLUSTER, FAKE])
NAME = agent().name


async def live(shell: Live) -> Caller:
    """Who the gateway takes an agent for, once it has begun."""
    await shell.begin(agent())
    for _ in range(TRIES):
        if shell.runs(NAME) and (caller := await shell.identity.caller(shell.token(NAME))):
            return caller
        await shell.pass_time()
    message = f"{NAME} does not run"
    raise AssertionError(message)


@ROWS
def test_a_token_names_the_live_workload_that_it_was_given_to(check: Check) -> None:
    async def test(shell: Live) -> None:
        caller = await live(shell)
        assert (caller.workload, caller.role, caller.loop) == (NAME, "agent", "demo")
        assert (caller.owner, caller.session) == ("demo-i0001", "demo-i0001-s1")
        assert caller.namespace == shell.loop.metadata.namespace

    check(test)


@ROWS
def test_a_token_is_worth_nothing_when_its_workload_has_ended(check: Check) -> None:
    async def test(shell: Live) -> None:
        await live(shell)
        token = shell.token(NAME)
        await shell.runtime.stop(NAME, "Stopped")
        await ended(shell, NAME)
        for _ in range(TRIES):
            if await shell.identity.caller(token) is None:
                return
            await shell.pass_time()
        message = f"the token of {NAME} outlives it"
        raise AssertionError(message)

    check(test)


@ROWS
def test_any_other_token_is_nobodys(check: Check) -> None:
    async def test(shell: Live) -> None:
        for token in shell.others():
            assert await shell.identity.caller(token) is None, token[:8]

    check(test)


@ROWS
def test_what_a_session_tells_the_gateway_the_operator_reads(check: Check) -> None:
    async def test(shell: Live) -> None:
        caller = await live(shell)
        await shell.signs.expect(caller.loop, {caller.session: 0})
        assert (await shell.signs.read())[caller.session].round == 0
        assert await shell.gateway_signs.record(caller, 3) is None
        await shell.runtime.observe("demo")
        beat = (await shell.signs.read())[caller.session]
        assert beat.round == 3
        await asyncio.sleep(0.01)
        await shell.runtime.observe("demo")
        later = (await shell.signs.read())[caller.session]
        assert later.age_seconds > beat.age_seconds

        await shell.signs.nudge(caller.session, "you have been silent")
        assert await shell.gateway_signs.record(caller, 3) == "you have been silent"
        assert await shell.gateway_signs.record(caller, 3) is None

        await shell.signs.expect(caller.loop, {})
        assert await shell.signs.read() == {}

    check(test)


@ROWS
def test_calls_are_signs_of_life_beside_the_heartbeat(check: Check) -> None:
    """A client that works and does not beat was ended every ninety seconds."""

    async def test(shell: Live) -> None:
        caller = await live(shell)

        async def age(signs: int) -> float:
            await shell.runtime.observe("demo")
            await shell.signs.expect(caller.loop, {caller.session: signs})
            return (await shell.signs.read())[caller.session].age_seconds

        await age(0)
        await shell.gateway_signs.record(caller, 3)
        await age(0)
        await asyncio.sleep(0.3)
        assert await age(0) >= 0.3
        await shell.gateway_signs.called(caller)
        assert await age(0) < 0.3, "a call of a verb"
        await asyncio.sleep(0.3)
        assert await age(1) < 0.3, "a call of the model"
        await asyncio.sleep(0.3)
        assert await age(1) >= 0.3
        assert (await shell.signs.read())[caller.session].round == 3, "a call is no round"

    check(test)
