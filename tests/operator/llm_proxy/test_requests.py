"""A provider gets only what was judged: the serialised copy of a request, which holds fields of the tables alone."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers
from tests.hang import no_hang
from tests.operator.llm_proxy.world import World, answer, play

from rloop_operator.llm_proxy.dialects.allowed.headers import passed_on
from rloop_operator.llm_proxy.dialects.allowed.shapes import (
    ABSENT,
    DATA,
    Fields,
    Items,
    Kinds,
    LeftOut,
    NotAllowed,
    ScalarOr,
    Shape,
)
from rloop_operator.llm_proxy.dialects.apis import CHAT, COUNT, MESSAGES, RESPONSES, Dialect
from rloop_operator.llm_proxy.dialects.request_check import DEPTH_MAX, FIELDS, check, serialised

PICTURE = "data:image/png;base64,iVBORw0KGgo="
PATHS = {"/chat/completions": CHAT, "/responses": RESPONSES, "/messages": MESSAGES}
FULL: dict[str, dict[str, Any]] = {
    "/chat/completions": {
        "model": "small-1",
        "messages": [
            {"role": "system", "content": "s"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "t"},
                    {"type": "image_url", "image_url": {"url": PICTURE, "detail": "low"}},
                    {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
                    {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBE", "filename": "a.pdf"}},
                ],
            },
            {
                "role": "assistant",
                "content": None,
                "reasoning_content": "r",
                "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "c", "content": "o"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "Type": 1}}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"any": ["thing"]}}},
        "stop": ["x"],
        "temperature": 0.5,
        "chat_template_kwargs": {"enable_thinking": False},
    },
    "/responses": {
        "model": "small-1",
        "instructions": "i",
        "input": [
            {"role": "user", "content": "t"},
            {"type": "message", "role": "user", "content": [{"type": "input_image", "image_url": PICTURE}]},
            {"type": "reasoning", "summary": [], "encrypted_content": "e"},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "o"}]},
        ],
        "tools": [
            {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False},
            {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "g", "parameters": {}}]},
            {"type": "custom", "name": "c", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}},
        ],
        "include": ["reasoning.encrypted_content"],
        "reasoning": {"effort": "low", "summary": "auto"},
        "store": False,
        "stream": True,
    },
    "/messages": {
        "model": "small-1",
        "max_tokens": 9,
        "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}},
                    {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "d: e"}},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "t", "signature": "s"},
                    {"type": "tool_use", "id": "t", "name": "f", "input": {"any": [1]}},
                ],
            },
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "o"}]}],
            },
        ],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}, {"type": "bash_20250124", "name": "bash"}],
        "tool_choice": {"type": "auto"},
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    },
}
"""Proper requests with all that agents usually send: nothing of them is left out."""


def text(document: object) -> bytes:
    return json.dumps(document).encode()


@pytest.mark.parametrize("path", PATHS)
def test_what_clients_usually_send_reaches_the_provider_whole(path: str) -> None:
    async def story(world: World) -> None:
        world.upstream.usual = answer(body={"choices": [], "output": [], "content": []})
        sent = {name: value for name, value in FULL[path].items() if name != "stream"}
        response = await world.client.post(
            path, content=json.dumps(sent, indent=4), headers={"authorization": "Bearer s1"}
        )
        assert response.status_code == 200, response.text
        assert "x-rloop-left-out" not in response.headers
        (seen,) = world.upstream.seen
        assert {name: seen.body[name] for name in sent} == sent
        assert seen.raw == serialised(seen.body)

    play(story)


@pytest.mark.parametrize("path", PATHS)
def test_null_says_the_same_as_nothing(path: str) -> None:
    """Clients that serialise every option write null for what is not set."""

    async def story(world: World) -> None:
        world.upstream.usual = answer(body={"choices": [], "output": [], "content": []})
        sent = {name: value for name, value in FULL[path].items() if name != "stream"}
        response = await world.post(path, sent | {"tool_choice": None, "temperature": None, "metadata": None})
        assert response.status_code == 200, response.text
        inner = next(name for name in ("messages", "input") if name in sent)
        refused = await world.post(path, sent | {inner: [None]})
        assert refused.status_code == 400
        assert f"{inner}[0] must be an object" in refused.text

    play(story)


def test_a_key_that_stands_twice_is_found_in_one_pass() -> None:
    body = "{" + ",".join(f'"{n}":0' for n in range(200_000)) + ',"199999":1}'
    with no_hang(), pytest.raises(NotAllowed, match="199999 occurs twice"):
        check(CHAT, body.encode(), LeftOut())


@pytest.mark.parametrize(
    ("path", "body", "param", "said"),
    [
        ("/chat/completions", b'{"model":"small-1","model":"big-9","messages":[]}', "model", "model occurs twice"),
        (
            "/chat/completions",
            b'{"model":"small-1","messages":[],"tools":[{"type":"function","type":"web_search"}]}',
            "type",
            "type occurs twice",
        ),
        ("/chat/completions", b'{"model":"small-1","messages":[],"Model":"big-9"}', "Model", "write model"),
        ("/chat/completions", b'{"model":"small-1","MAX_TOKENS":9}', "MAX_TOKENS", "write max_tokens"),
        ("/chat/completions", b'{"model":"small-1","models":["big-9"]}', "models", "models is rejected"),
        ("/chat/completions", b'{"model":"small-1","plugins":[{"id":"web"}]}', "plugins", "is rejected"),
        ("/chat/completions", b'{"model":"small-1","best_of":20}', "best_of", "is rejected"),
        ("/chat/completions", b'{"model":"small-1","search_parameters":{}}', "search_parameters", "is rejected"),
        ("/messages", b'{"model":"small-1","fallbacks":[{"model":"big-9"}]}', "fallbacks", "is rejected"),
        ("/chat/completions", b'{"model":"small-1","seed":NaN}', "the body", "contains NaN"),
        ("/chat/completions", b'{"model":"small-1","seed":1e999}', "the body", "contains the number 1e999"),
        ("/chat/completions", b'{"model":{"a":1}}', "model", "must be text"),
    ],
)
def test_what_two_readers_could_understand_differently_is_refused_by_name(
    path: str, body: bytes, param: str, said: str
) -> None:
    async def story(world: World) -> None:
        refused = await world.client.post(path, content=body, headers={"authorization": "Bearer s1"})
        assert refused.status_code == 400
        error = refused.json()["error"]
        assert said in error["message"]
        assert error.get("param", param) == param
        assert not world.upstream.seen

    play(story)


URL = "http://169.254.169.254/latest/meta-data/"


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/chat/completions", {"type": "image_url", "image_url": {"url": URL}}),
        ("/chat/completions", {"type": "image_url", "image_url": URL}),
        ("/chat/completions", {"type": "image_url", "image_url": {"URL": URL}}),
        ("/chat/completions", {"type": "image_url", "image_url": {"url": "DATA:x"}}),
        ("/chat/completions", {"type": "image_url", "image_url": {"url": [URL]}}),
        ("/chat/completions", {"type": "video_url", "video_url": {"url": URL}}),
        ("/chat/completions", {"type": "input_audio", "input_audio": {"data": URL, "format": "wav"}}),
        ("/chat/completions", {"type": "file", "file": {"file_id": "file-1"}}),
        ("/chat/completions", {"type": "file", "file": {"file_data": URL}}),
        ("/responses", {"type": "input_image", "image_url": URL}),
        ("/responses", {"type": "input_image", "file_id": "file-1"}),
        ("/responses", {"type": "input_file", "file_url": URL}),
        ("/responses", {"type": "input_file", "file_id": "file-1"}),
        ("/messages", {"type": "image", "source": {"type": "url", "url": URL}}),
        ("/messages", {"type": "image", "source": {"type": "file", "file_id": "f"}}),
        ("/messages", {"type": "document", "source": {"type": "url", "url": URL}}),
        ("/messages", {"type": "document", "source": {"type": "content", "content": [{"type": "image"}]}}),
        ("/messages", {"type": "container_upload", "file_id": "f"}),
        ("/messages", {"type": "tool_addition", "tool": {"type": "web_search_20250305", "name": "w"}}),
        (
            "/messages",
            {
                "type": "tool_result",
                "tool_use_id": "t",
                "content": [{"type": "image", "source": {"type": "url", "url": URL}}],
            },
        ),
    ],
)
def test_what_a_provider_would_fetch_or_holds_itself_is_refused(path: str, content: dict[str, Any]) -> None:
    body = {
        "model": "small-1",
        "input" if path == "/responses" else "messages": [{"role": "user", "content": [content]}],
    }
    with pytest.raises(NotAllowed, match=r"^(messages|input)\[0\]\.content\[0\]"):
        check(PATHS[path], text(body), LeftOut())


@pytest.mark.parametrize(
    "item",
    [
        {"type": "item_reference", "id": "msg_1"},
        {"id": "msg_1"},
        {"id": "msg_1", "role": "user"},
        {"type": "web_search_call", "id": "ws_1"},
        {"type": "mcp_approval_response", "approval_request_id": "m", "approve": True},
        {"type": "compaction_trigger"},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_file", "file_url": URL}]},
        {"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot", "image_url": URL}},
    ],
)
def test_an_item_of_a_history_that_only_the_provider_knows_is_refused(item: dict[str, Any]) -> None:
    with pytest.raises(NotAllowed, match=r"^input\[0\]"):
        check(RESPONSES, text({"model": "m", "input": [item]}), LeftOut())


@pytest.mark.parametrize("place", ["additional_tools", "tool_search_output", "namespace"])
def test_tools_that_run_at_the_provider_hide_nowhere(place: str) -> None:
    tools = [{"type": "function", "name": "f"}, {"type": "web_search"}, {"type": "mcp", "server_url": URL}]
    item: dict[str, Any] = {"type": place, "tools": tools}
    body = {"tools": [item | {"name": "n"}]} if place == "namespace" else {"input": [item]}
    left_out = LeftOut()
    found = check(RESPONSES, text({"model": "m"} | body), left_out)
    assert b"web_search" not in found.content
    assert b"mcp" not in found.content
    assert [name.rpartition(".")[2] for name in left_out.names] == ["web_search", "mcp"]


def test_names_of_what_is_left_out_are_safe_for_a_header_and_bounded() -> None:
    odd = {f"é\r\nset-cookie: {number}": 1 for number in range(100)}
    left_out = LeftOut()
    check(
        CHAT,
        text({"model": "m", "messages": [{"role": "user", "content": "x"} | odd], "metadata": {"a": "b"}}),
        left_out,
    )
    assert len(left_out.names) <= 32
    assert all(re.fullmatch(r"[\x20-\x7e]{1,80}", name) for name in left_out.names)


@pytest.mark.parametrize("deep", [DEPTH_MAX + 1, 900, 100_000])
def test_deep_documents_are_refused(deep: int) -> None:
    body = b'{"model":"m","logit_bias":' + b"[" * deep + b"]" * deep + b"}"
    with pytest.raises(NotAllowed, match="the body"):
        check(CHAT, body, LeftOut())


def test_half_a_character_is_passed_on_as_it_came() -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"\\ud83d \xc3\xa9"}]}'
    found = check(CHAT, body, LeftOut())
    assert json.loads(found.content) == json.loads(body)


HEADERS = [
    ("anthropic-version", "2023-06-01"),
    ("anthropic-beta", "interleaved-thinking-2025-05-14, mcp-client-2025-04-04"),
    ("anthropic-beta", "code-execution-2025-05-22"),
    ("openai-beta", "assistants=v2"),
    ("x-mine", "secret"),
]


def test_of_a_beta_header_only_harmless_values_are_passed_on() -> None:
    left_out = LeftOut()
    found = passed_on(Headers(raw=[(name.encode(), value.encode()) for name, value in HEADERS]), left_out)
    assert found == {"anthropic-version": "2023-06-01", "anthropic-beta": "interleaved-thinking-2025-05-14"}
    assert list(left_out.names) == [
        "anthropic-beta: mcp-client-2025-04-04",
        "anthropic-beta: code-execution-2025-05-22",
        "openai-beta: assistants=v2",
    ]
    assert passed_on(Headers({"anthropic-version": "2023-06-01\nx: y"}), LeftOut()) == {}


# The property. A request is a proper one with anything put anywhere, as bytes whose keys may stand twice.
NAMES = st.sampled_from(
    ["model", "Model", "type", "Type", "tools", "url", "file_id", "models", "plugins", "content", "id", "name", "é"]
)
PIECES: list[Any] = [
    None,
    True,
    7,
    0.5,
    float("nan"),
    "",
    "web_search",
    "a\ud800",
    URL,
    PICTURE,
    [],
    [[]],
    {},
    {"url": URL},
]
VALUES = (
    st.sampled_from(PIECES)
    | st.dictionaries(NAMES, st.sampled_from(PIECES), max_size=3)
    | st.lists(st.dictionaries(NAMES, st.sampled_from(PIECES), max_size=2), max_size=2)
).map(copy.deepcopy)  # what is drawn is put into a document, which may then be changed inside it
SPOT = "\x00spot"


@st.composite
def requests(draw: st.DrawFn) -> tuple[Dialect, bytes]:
    """A dialect, and a body."""
    path = draw(st.sampled_from(sorted(PATHS)))
    document = copy.deepcopy(FULL[path])
    for _ in range(draw(st.integers(0, 3))):
        node: Any = document
        while True:
            inner = list(node.values()) if isinstance(node, dict) else node
            inner = [one for one in inner if isinstance(one, dict | list) and one]
            if not inner or draw(st.booleans()):
                break
            node = draw(st.sampled_from(inner))
        if isinstance(node, list):
            node.insert(draw(st.integers(0, len(node))), draw(VALUES))
        else:
            node[draw(NAMES | st.sampled_from([f"{SPOT}{one}" for one in node]))] = draw(VALUES)
    return PATHS[path], json.dumps(document).replace(json.dumps(SPOT)[1:-1], "").encode()


@given(requests())
def test_what_is_sent_is_what_was_judged_and_holds_only_fields_of_the_tables(request: tuple[Dialect, bytes]) -> None:
    dialect, content = request
    try:
        found = check(dialect, content, LeftOut())
    except NotAllowed:
        return
    assert found.content == serialised(found.document)
    assert json.loads(found.content) == found.document
    assert unknown(FIELDS[dialect.name], found.document) == []
    again = LeftOut()
    assert check(dialect, found.content, again) == found
    assert not again.names


@given(st.binary(max_size=40) | VALUES.map(text) | st.dictionaries(NAMES, VALUES, max_size=4).map(text))
def test_any_bytes_are_refused_or_judged(content: bytes) -> None:
    for dialect in (CHAT, RESPONSES, MESSAGES, COUNT):
        try:
            found = check(dialect, content, LeftOut())
        except NotAllowed:
            continue
        assert unknown(FIELDS[dialect.name], found.document) == []


def unknown(shape: Shape, value: Any) -> list[str]:
    """Fields in the value that its shape does not name. Written without the code under test."""
    if value is None or shape is DATA or not isinstance(value, dict | list):
        return []
    if isinstance(shape, ScalarOr):
        return unknown(shape.other, value)
    if isinstance(shape, Items) and isinstance(value, list):
        return [name for one in value for name in unknown(shape.of, one)]
    if isinstance(shape, Kinds) and isinstance(value, dict):
        kind = str(value.get("type") or shape.usual)
        fields = shape.kinds.get(kind) or shape.kinds[re.sub(r"_\d{8}$", "", kind)]
        return unknown(Fields({"type": DATA, **shape.common, **fields.fields}), value)
    if isinstance(shape, Fields) and isinstance(value, dict):
        strange = [name for name in value if name not in shape.fields]
        known = [key for key in value if key in shape.fields]
        return strange + [name for key in known for name in unknown(shape.fields[key], value[key])]
    return [] if shape.take(value, "x", LeftOut()) is not ABSENT else ["absent"]
