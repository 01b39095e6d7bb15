"""The Lease and the ping while all requests of the passes wait for an answer: neither queues behind them."""

import asyncio

from tests.support.fake_kubernetes import FakeKubernetes

from rloop_operator.cluster.kube import client
from rloop_operator.cluster.kube.lease import Lease
from rloop_operator.cluster.watchdog.ping import Ping

BURST = 4 * client.PARALLEL_REQUESTS
SOON = 5.0


async def _saturated() -> tuple[bool, tuple[int, int], int]:
    server = FakeKubernetes(hangs="researchloops")
    async with server.connected() as api:
        lease, ping = Lease(api, "system", "rloop-operator", "me"), Ping(api, "system")
        waiting = [asyncio.create_task(api.all(client.objects("team", "researchloops"))) for _ in range(BURST)]
        for _ in range(client.PARALLEL_REQUESTS):
            await server.hung.acquire()
        async with asyncio.timeout(SOON):
            await lease.step()
            await lease.step()
            await ping.send(3)
            await ping.answer(3)
            seen = await ping.look()
        hanging = server.hanging
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return lease.held(), seen, hanging


def test_lease_and_ping_are_served_while_every_slot_of_the_passes_is_taken() -> None:
    held, seen, hanging = asyncio.run(_saturated())
    assert held
    assert seen == (3, 3)
    assert hanging == client.PARALLEL_REQUESTS, "the burst is still limited"
