"""Executes one verb for a caller: the body in, the reply's body out, and every failure as a refusal with its remedy.

Shared by the HTTP routes (`gateway.protocols.app`) and the MCP server (`gateway.protocols.mcp_server`).
"""

from __future__ import annotations

from typing import Any, cast

import structlog
from pydantic import TypeAdapter, ValidationError

from rloop.api.wire import Problem
from rloop.errors import Blocked, Conflict, NotFound, Refused, RloopError
from rloop.reasons import Reason
from rloop_operator.gateway.protocols import lenient
from rloop_operator.gateway.verbs.service import Gateway
from rloop_operator.gateway.verbs.table import Verb
from rloop_operator.ports import Caller

log = structlog.get_logger("rloop.gateway")


BODY_BYTES = 2 * 1024 * 1024


async def answer(verb: Verb, gateway: Gateway, caller: Caller, content: bytes, name: str) -> bytes:
    """Execute the verb; returns the reply's body as JSON, empty if it has none. Raises only Refused."""
    try:
        body = lenient.read(verb.request, content) if verb.request is not None else None
        reply = await verb.handler(gateway, caller, body, name)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "body"
        raise Refused("Malformed", f"{where}: {first['msg']}") from error
    except NotFound as error:
        raise Refused("NotFound", str(error)) from error
    except Conflict as error:
        raise Refused("Busy", f"{error}; try again") from error
    except Refused:
        raise
    except RloopError as error:
        # The error's own text is not sent: it may quote what the API server reported about other objects.
        log.warning("verb_failed", verb=verb.path, loop=caller.loop, detail=str(error))
        if isinstance(error, Blocked) and error.reason == Reason.SEALED_FILES_LOST:
            raise Refused("Unavailable", error.message) from error
        raise Refused(
            "Unavailable", "the campaign's objects cannot be read or written at the moment: try again"
        ) from error
    return b"" if verb.reply is None else TypeAdapter(verb.reply).dump_json(cast("Any", reply), by_alias=True)


def problem_of(refused: Refused) -> Problem:
    """The body of a refusal's response; the message is cut to 1024 characters."""
    return Problem(reason=refused.reason, message=refused.message[:1024])
