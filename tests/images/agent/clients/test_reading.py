"""What the output of each client says: lines as the real ones wrote them, shortened."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rloop.api.agent import PROGRAMS, ClientName
from rloop_agent.clients.launch import Launch, Seen
from rloop_agent.clients.table import CLIENTS

CLAUDE = """\
{"type":"system","subtype":"init","session_id":"3ffbeb1b","tools":["Bash"],"mcp_servers":[{"name":"rloop","status":"connected"}]}
{"type":"assistant","message":{"role":"assistant","content":[{"type":"text","text":"I turn the numbers."}]}}
{"type":"assistant","message":{"role":"assistant","content":[{"type":"tool_use","id":"call_3_0","name":"Bash","input":{}}]}}
{"type":"system","subtype":"api_retry","attempt":1,"session_id":"3ffbeb1b"}
{"type":"result","result":"That is all.","usage":{"input_tokens":430,"cache_read_input_tokens":20,"output_tokens":11}}
"""
CODEX = """\
{"type":"thread.started","thread_id":"01a22f2c"}
{"type":"item.completed","item":{"id":"item_0","type":"error","message":"Model metadata for `coder` not found."}}
{"type":"item.completed","item":{"id":"item_6","type":"agent_message","text":"That is all."}}
{"type":"turn.completed","usage":{"input_tokens":54661,"cached_input_tokens":46360,"output_tokens":476}}
"""
OPENCODE = """\
{"type":"text","sessionID":"ses_dd0e","part":{"type":"text","text":"That is all."}}
{"type":"step_finish","sessionID":"ses_dd0e","part":{"type":"step-finish","tokens":{"input":90,"output":5,"reasoning":1,"cache":{"read":10,"write":0}}}}
{"type":"step_finish","sessionID":"ses_dd0e","part":{"type":"step-finish","tokens":{"input":100,"output":5,"reasoning":0,"cache":{"read":0,"write":0}}}}
"""
GEMINI = """\
{"type":"init","session_id":"b2","model":"m"}
{"type":"message","role":"assistant","content":"Thinking.","delta":true}
{"type":"tool_use","tool_name":"finish","tool_id":"1","parameters":{}}
{"type":"message","role":"assistant","content":"That is ","delta":true}
{"type":"message","role":"assistant","content":"all.","delta":true}
{"type":"result","status":"success","stats":{"total_tokens":120,"input_tokens":100,"output_tokens":20}}
"""


@pytest.mark.parametrize(
    ("name", "output", "seen"),
    [
        ("claude-code", CLAUDE, Seen("That is all.", "3ffbeb1b", 2, 450, 20, 11)),
        ("codex", CODEX, Seen("That is all.", "01a22f2c", 2, 54661, 46360, 476)),
        ("opencode", OPENCODE, Seen("That is all.", "ses_dd0e", 2, 200, 10, 11)),
        ("gemini-cli", GEMINI, Seen("That is all.", "b2", 1, 100, 0, 20)),
    ],
)
def test_last_words_conversation_turns_and_tokens(name: ClientName, output: str, seen: Seen) -> None:
    found = Seen()
    for line in output.splitlines():
        found.line(line, CLIENTS[name].read)
    assert found == seen


def test_a_reply_in_two_parts_is_counted_once_and_before_the_end() -> None:
    seen = Seen()
    for id_, tokens in (("m1", 100), ("m1", 110), ("m2", 30)):
        usage = {"input_tokens": 5, "cache_read_input_tokens": tokens, "output_tokens": 1}
        message = {"id": id_, "content": [], "usage": usage}
        seen.line(json.dumps({"type": "assistant", "message": message}), CLIENTS["claude-code"].read)
    assert (seen.input_tokens, seen.cached_tokens, seen.output_tokens) == (150, 140, 2)


TOLD: dict[ClientName, str] = {
    "claude-code": """\
{"type":"assistant","message":{"content":[{"type":"text","text":"I look."}]}}
{"type":"assistant","message":{"content":[{"type":"tool_use","name":"ls","input":{"a":1}}]}}
{"type":"user","message":{"content":[{"type":"tool_result","content":"recipe.json"}]}}
{"type":"assistant","message":{"content":[{"type":"text","text":"Done."}]}}
{"type":"result","result":"Done."}
{"type":"result","is_error":true,"result":"API Error"}
""",
    "codex": """\
{"type":"item.completed","item":{"type":"reasoning","text":"hm"}}
{"type":"item.completed","item":{"type":"agent_message","text":"I look."}}
{"type":"item.started","item":{"type":"mcp_tool_call","server":"rloop","tool":"ls","arguments":{"a":1}}}
{"type":"item.completed","item":{"type":"mcp_tool_call","server":"rloop","tool":"ls","arguments":{"a":1}}}
{"type":"item.completed","item":{"type":"agent_message","text":"Done."}}
{"type":"turn.failed","error":{"message":"API Error"}}
""",
    "opencode": """\
{"type":"text","part":{"type":"text","text":"I look."}}
{"type":"tool_use","part":{"type":"tool","tool":"ls","state":{"status":"completed","input":{"a":1},"output":"x"}}}
{"type":"text","part":{"type":"text","text":"Done."}}
{"type":"error","error":{"name":"UnknownError","data":{"message":"API Error"}}}
""",
    "gemini-cli": """\
{"type":"message","role":"user","content":"the brief"}
{"type":"message","role":"assistant","content":"I ","delta":true}
{"type":"message","role":"assistant","content":"look.","delta":true}
{"type":"tool_use","tool_name":"ls","tool_id":"1","parameters":{"a":1}}
{"type":"message","role":"assistant","content":"Done.","delta":true}
{"type":"error","severity":"error","message":"API Error"}
{"type":"result","status":"error","stats":{}}
""",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_who_speaks_and_what_is_told_once_and_in_order(name: ClientName) -> None:
    told: list[tuple[str, str]] = []
    seen = Seen(tell=lambda who, text: told.append((who, text)))
    for line in TOLD[name].splitlines():
        seen.line(line, CLIENTS[name].read)
    assert told == [("model", "I look."), ("tool", 'ls {"a": 1}'), ("model", "Done."), ("client", "API Error")]


def test_the_own_tools_of_codex_are_told_with_what_they_do() -> None:
    told: list[str] = []
    seen = Seen(tell=lambda _who, text: told.append(text))
    for item in ({"type": "command_execution", "command": "ls", "exit_code": 0}, {"type": "todo_list", "items": []}):
        for _ in range(2):
            seen.line(json.dumps({"type": "item.completed", "item": item}), CLIENTS["codex"].read)
    assert told == ['command_execution "ls"'] * 2


ODD = ["", "[1]", "null", "no JSON", "{}", '{"type": null}']
ODD += ['{"type": "result", "usage": 3, "stats": [], "result": null}']
ODD += [json.dumps({"type": one, "part": 1, "item": "x", "message": [], "error": 7}) for one in ("text", "error")]
ODD += [json.dumps({"type": one, "usage": {"input_tokens": -5}}) for one in ("turn.completed", "item.completed")]


@pytest.mark.parametrize("name", PROGRAMS)
def test_nothing_that_a_client_prints_ends_the_session(name: ClientName) -> None:
    seen = Seen()
    for line in ODD:
        seen.line(line, CLIENTS[name].read)
    assert seen.plain == "no JSON"
    assert seen.input_tokens == 0


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_argument_of_a_client_has_the_token(name: ClientName, tmp_path: Path) -> None:
    """Arguments are shown to every user of a machine."""
    launch = Launch(
        tmp_path, "secret-token", "http://127.0.0.1:1/v1", "m", ("--mine",), "", {"RLOOP_TOKEN": "secret-token"}
    )
    words = CLIENTS[name].argv(launch)
    assert "--mine" in words
    assert not any("secret-token" in word for word in words)
