"""`python -m rloop_agent`: the process of one session.

Started by the operator in an agent's pod, and by the local shell. All its input comes from the environment and the
gateway. It keeps no state, so a replacement after a crash starts from the same point.

Exit codes: 0 the session ended normally (also if it was closed), 1 the gateway was unreachable or rejected the token,
or a client failed, 2 the environment is invalid, 127 the client is not installed.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from rloop.api.wire import HeartbeatRequest
from rloop_agent.client import Client
from rloop_agent.environment import (
    BadEnvironment,
    ClientSettings,
    JoinSettings,
    Mind,
    ModelSettings,
    PolicySettings,
    Settings,
    settings,
)
from rloop_agent.gateway import AgentError, Closed
from rloop_agent.heart import Heart
from rloop_agent.log import json_lines
from rloop_agent.policies.table import POLICIES
from rloop_agent.session import Surroundings, run


def _described(mind: Mind) -> dict[str, object]:
    match mind:
        case PolicySettings():
            return {"policy": mind.name, "seed": mind.seed}
        case ModelSettings():
            return {"model": mind.name}
        case ClientSettings():
            return {"client": mind.name, "model": mind.model}
        case JoinSettings():
            return {"client": "joined"}


def _live(told: Settings, client: Client, heart: Heart, around: Surroundings, stop: threading.Event) -> int:
    """Run the session; returns the exit code."""
    if isinstance(told.mind, JoinSettings):
        from rloop_agent.clients import seat

        return seat.run(client, told.mind.folder, told.session, heart, stop)
    if isinstance(told.mind, PolicySettings):
        run(client, POLICIES[told.mind.name], told.mind.seed, told.session, around)
        return 0
    # Imported here: the session of a policy does not need a provider's client.
    from rloop_agent.llm import session
    from rloop_agent.llm.model.endpoint import Endpoint
    from rloop_agent.llm.model.transcript import Transcript

    transcript = Transcript(told.mind.transcripts, told.token, json_lines)
    if isinstance(told.mind, ClientSettings):
        from rloop_agent.clients import session as client_session

        return client_session.run(client, told.mind, told.token(), heart, around, transcript)
    endpoint = Endpoint(told.mind.proxy, told.mind.name, told.token)
    try:
        session.run(client, endpoint, around, transcript)
    finally:
        endpoint.close()
    return 0


def main() -> int:
    """Run one session; returns the exit code."""
    try:
        told = settings(os.environ)
    except BadEnvironment as error:
        json_lines("error", "bad environment", message=str(error))
        return 2
    stop = threading.Event()
    # As process 1 of a container, this process would ignore SIGTERM without a handler. The current round is completed.
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    client = Client(told.url, told.token, wait=stop.wait, log=json_lines)
    heart = Heart(Client(told.url, told.token, patience=0, log=json_lines), told.heartbeat_seconds, json_lines)
    json_lines("info", "started", session=told.session, **_described(told.mind))
    try:
        client.heartbeat(HeartbeatRequest())
        heart.start()
        around = Surroundings(
            on_round=heart.on_round, stop=stop.is_set, wait=stop.wait, nudge=heart.nudge, log=json_lines
        )
        return _live(told, client, heart, around, stop)
    except Closed as closed:
        json_lines("info", "closed", message=str(closed))
    except AgentError as error:
        json_lines("error", "gave up", message=str(error))
        return 1
    finally:
        heart.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
