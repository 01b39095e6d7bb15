"""Whether callers can be authenticated at all is a part of the health of gateway and LLM proxy."""

from __future__ import annotations

import asyncio

from tests.support.fake_kubernetes import REVIEWS, FakeKubernetes

from rloop_operator.cluster.access.token_reviews import Reach
from rloop_operator.cluster.telemetry import health


def report(fake: FakeKubernetes, reach: Reach) -> tuple[str, int, int]:
    """The report and the two endpoints after one try."""

    async def watched() -> None:
        watching = asyncio.create_task(reach.watch())
        before = fake.asked.total()
        for _ in range(20):
            await asyncio.sleep(0)
        assert fake.asked.total() == before + 1
        assert not watching.done()
        watching.cancel()

    asyncio.run(watched())
    text, ready = health.report(reach.parts(), curable_only=False)
    return text, ready, health.report(reach.parts(), curable_only=True)[1]


def test_refused_token_reviews_make_the_process_not_ready_until_they_are_answered() -> None:
    fake = FakeKubernetes()
    reach = Reach(fake.direct())
    assert report(fake, reach) == ("reach: ok\napi: ok\n", 200, 200)
    fake.faults[REVIEWS] = 403
    text, ready, alive = report(fake, reach)
    assert (ready, alive) == (503, 200), "a restart grants no permission"
    assert f"no answer to POST {REVIEWS}" in text
    fake.faults.clear()
    assert report(fake, reach)[1] == 200


def test_it_asks_about_a_token_that_nobody_has() -> None:
    fake = FakeKubernetes()
    report(fake, Reach(fake.direct()))
    assert [one.body["spec"]["token"] for one in fake.written] == ["not-a-token"]
