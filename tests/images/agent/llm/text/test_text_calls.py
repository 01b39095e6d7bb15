"""Calls that a model writes as text: the shapes that real models and servers produce, and what is no call."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.hang import no_hang

from rloop_agent.llm.text.text_calls import CALLS_MAX, Written, quotations, read
from rloop_agent.llm.tools.registry import TOOLS

READ = '{"name": "read_file", "arguments": {"path": "a.py"}}'
LIST = '{"name": "list_files", "arguments": {}}'
ONE = [("read_file", {"path": "a.py"})]
TWO = [*ONE, ("list_files", {})]
ANSWER = '<tool_response>\n{"ok": 1}\n</tool_response>'
XML = (
    "<function=write_file>\n<parameter=path>\na.py\n</parameter>\n"
    "<parameter=content>\nx = 1\ny\n</parameter>\n</function>"
)
WRITTEN = [("write_file", {"path": "a.py", "content": "x = 1\ny"})]


def calls(text: str, **more: Any) -> list[tuple[str, Any]]:
    return [(one.name, json.loads(one.arguments)) for one in read(text, TOOLS, **more).calls]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (READ, ONE),
        (f"  {READ}  \n", ONE),
        (f"I look at the file first.\n\n{READ}\n", ONE),
        (f"{READ}\n{LIST}", TWO),
        (f"{READ}; {LIST}", TWO),
        (f"[{READ}, {LIST}]", TWO),
        ('{"name": "read_file", "parameters": {"path": "a.py"}}', ONE),
        ('{"name": "read_file", "arguments": "{\\"path\\": \\"a.py\\"}"}', ONE),
        ('{"type": "function", "name": "read_file", "parameters": {"path": "a.py"}}', ONE),
        (
            f'{{"id": "1", "type": "function", "function": {READ}}}',
            ONE,
        ),
        (f'{{"tool_calls": [{READ}, {LIST}]}}', TWO),
        ('{"arguments": {"path": "a.py"}, "name": "read_file"}', ONE),
        ('{\n  "name": "read_file",\n  "arguments": {\n    "path": "a.py"\n  }\n}', ONE),
        ('{"name": "write_file", "arguments": {"path": "a.py", "content": "x = 1\ny"}}', WRITTEN),
        (f"```json\n{READ}\n```", ONE),
        (f"Sure:\n```\n{READ}\n```\nThat is it.", ONE),
        (f"```json\n{READ}\n{LIST}\n```", TWO),
        (f"```json\n[{READ},\n{LIST}]\n```", TWO),
        (f"```json\n{READ}\n```\nand then\n```json\n{LIST}\n```", TWO),
        (f"```json\n{READ}", ONE),
        (f"```xml\n<tool_call>\n{READ}\n</tool_call>\n```", ONE),
        (f"<tool_call>\n{READ}\n</tool_call>", ONE),
        (f"<tool_call>{READ}</tool_call><tool_call>{LIST}</tool_call>", TWO),
        (f"<tool_call>\n{READ}\n{LIST}\n</tool_call>", TWO),
        (f"<tool_call>[{READ}, {LIST}]</tool_call>", TWO),
        (f"<tool_call>\n{READ}\n<tool_call>\n{LIST}", TWO),
        (f"<tool_call>\n```json\n{READ}\n```\n</tool_call>", ONE),
        (f"I call it: <tool_call>{READ}</tool_call>", ONE),
        ('<tool_call>{"name": "list_files"}</tool_call>', [("list_files", {})]),
        (f"<tools>\n{READ}\n</tools>", ONE),
        (f"<function_call> {READ} </function_call>", ONE),
        (f"<|tool_call|>[{READ}]<|/tool_call|>", ONE),
        (f"<|python_tag|>{READ}", ONE),
        (f"[TOOL_CALLS] [{READ}, {LIST}]", TWO),
        ('[TOOL_CALLS]read_file{"path": "a.py"}', ONE),
        ('[TOOL_CALLS]read_file[ARGS]{"path": "a.py"}', ONE),
        (f"functools[{READ}]", ONE),
        ('<function=read_file>{"path": "a.py"}</function>', ONE),
        (XML, WRITTEN),
        (f"<tool_call>\n{XML}\n</tool_call>", WRITTEN),
        ("<tool_call>\n<function=list_files>\n</function>\n</tool_call>", [("list_files", {})]),
        (f"<think>\nMaybe {LIST}?\n</think>\n{READ}", ONE),
        (f"{LIST}\n</think>\n{READ}", ONE),
        (f'> {LIST}\n\n<data source="x">\n{LIST}\n</data>', []),
        (f"<tool_call>{READ}</tool_call>\n{ANSWER}\n<tool_call>{LIST}</tool_call>", ONE),
        (f"{READ}\nResult of read_file:\nx = 1\n{LIST}", ONE),
        (f"{READ}\n<|im_start|>user\n{LIST}", ONE),
    ],
)
def test_a_written_call_is_seen(text: str, expected: list[tuple[str, Any]]) -> None:
    assert calls(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I will read a.py and then change it.",
        f"You could reply with {READ} to read it.",
        f"The syntax is `{READ}`.",
        f"> {READ}",
        f"# {READ}",
        f"{READ} is how it would look.",
        f"```python\ncall = {READ}\n```",
        f"```python\n{READ}\n```",
        f"```json\n{READ}\nand so on\n```",
        f"```json\n{READ[:-2]}\n```",
        '```json\n{"estimator": "median", "trim": 0.2}\n```',
        '{"name": "launch_rocket", "arguments": {}}',
        '{"name": "read_file"}',
        '{"name": "read_file", "arguments": ["a.py"]}',
        '{"name": "read_file", "arguments": "a.py"}',
        '{"name": "read_file", "arguments": {"path": "a.py"}, "why": "an entry of a log"}',
        '{"name": "read_file", "description": "d", "parameters": {"path": "a.py"}}',
        '{"name": "read_file", "parameters": {"type": "object", "properties": {"path": {"type": "string"}}}}',
        f'{{"log": [{READ}]}}',
        f"[{READ}, 3]",
        f"<tool_response>\n{READ}\n</tool_response>",
        f'<data source="a.py">\n{READ}\n</data>',
        f"<think>{READ}</think> Let me see.",
        f"<think>{READ}",
        "<tool_call>\n</tool_call>",
        "<function=launch_rocket>{}</function>",
        "<function=read_file>",
        "[TOOL_CALLS]",
        "[1, 2, 3]",
        "[" * 5000,
    ],
)
def test_what_is_no_call_stays_text(text: str) -> None:
    assert calls(text) == []


@pytest.mark.parametrize("text", [f"```json\n{READ[:-2]}\n```", "<tool_call>read it</tool_call>", f"As in {READ}."])
def test_what_looks_like_a_call_is_told_apart_from_prose(text: str) -> None:
    assert read(text, TOOLS).broken
    assert not read("I will read it.", TOOLS).broken


def test_an_invented_answer_is_cut_off() -> None:
    call = f"I look.\n<tool_call>\n{READ}\n</tool_call>"
    assert read(f"{call}\n<tool_response>\nx = 1\n</tool_response>\nIt says x = 1.", TOOLS).text == call
    assert read(f"{call}\nNow I wait for the result.", TOOLS).text == call
    assert read("The recipe is fine.\n<tool_response>\n1\n</tool_response>", TOOLS).text == "The recipe is fine."


@pytest.mark.parametrize("quote", [READ, READ.replace(" ", ""), json.dumps({"log": READ}), f"say {READ} now"])
def test_a_call_that_stands_in_material_is_a_quotation(quote: str) -> None:
    shown = quotations(f'<data source="notes.md">\n{quote}\n</data>', TOOLS)
    for text in (READ, f"```json\n{READ}\n```", f"<tool_call>{READ}</tool_call>"):
        found = read(text, TOOLS, shown)
        assert found.quoted, text
        assert not found.calls, text
    own = READ.replace("a.py", "b.py")
    assert calls(f"{READ}\n{own}", quotations=shown) == [("read_file", {"path": "b.py"})]


def test_a_call_without_arguments_is_never_a_quotation() -> None:
    assert calls(LIST, quotations=quotations(LIST, TOOLS)) == [("list_files", {})]


def test_calls_of_one_reply_are_bounded() -> None:
    assert len(calls("\n".join([READ] * 100))) == CALLS_MAX


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
MARKS = '{ } [ ] "name" "arguments" : "read_file" read_file ```json ``` <tool_call> </tool_call>'
PIECES = st.sampled_from(
    [
        *MARKS.split(),
        "<tools>",
        "<function=read_file>",
        "</function>",
        "[TOOL_CALLS]",
        "functools",
        "<think>",
        "```json\n",
        "\n",
    ]
)


@given(st.lists(PIECES | st.text(max_size=8), max_size=25).map("".join))
def test_no_text_breaks_the_reader(text: str) -> None:
    found = read(text, TOOLS)
    assert all(one.name in TOOLS for one in found.calls)
    assert text.startswith(found.text)


@given(st.text() | st.lists(PIECES | st.text(max_size=8), max_size=25).map("".join))
def test_text_without_the_name_of_a_tool_holds_no_call(text: str) -> None:
    unnamed = text
    for name in TOOLS:
        unnamed = unnamed.replace(name, "x")
    assert not read(unnamed, TOOLS).calls


@given(VALUES)
def test_data_is_no_call(value: Any) -> None:
    text = json.dumps(value)
    for shape in (text, f"```json\n{text}\n```", f"<tool_call>{text}</tool_call>"):
        assert not read(shape, TOOLS).calls


@given(st.sampled_from(sorted(TOOLS)), st.dictionaries(st.text(), VALUES, max_size=4), st.booleans(), st.booleans())
def test_every_call_is_read_back(name: str, arguments: dict[str, Any], as_text: bool, ascii_only: bool) -> None:
    given_as: Any = json.dumps(arguments) if as_text else arguments
    if isinstance(arguments.get("type"), str):
        return
    text = json.dumps({"name": name, "arguments": given_as}, ensure_ascii=ascii_only)
    wanted = [Written(name, json.dumps(arguments, ensure_ascii=False, sort_keys=True))]
    for shape in (text, f"Go.\n```json\n{text}\n```", f"<tool_call>\n{text}\n</tool_call>", f"[TOOL_CALLS] [{text}]"):
        assert read(shape, TOOLS).calls == wanted


MARKS_IN_FILES = [
    "<think>why</think>",
    "<think>",
    "a</think>",
    "<data>1</data>",
    "<|im_start|>user",
    "<tool_response>",
    "<data source=",
]


@pytest.mark.parametrize("mark", MARKS_IN_FILES)
def test_a_file_that_is_written_may_hold_every_mark(mark: str) -> None:
    content = f'P = "{mark}"\n{mark}\nx = 1'
    told = json.dumps({"name": "write_file", "arguments": {"path": "p.py", "content": content}})
    expected = [("write_file", {"path": "p.py", "content": content})]
    assert calls(told) == expected
    assert calls(f"```json\n{told}\n```") == expected
    assert calls(f"<think>Maybe {READ}</think>\n<tool_call>{told}</tool_call>\n<|im_start|>user\n{READ}") == expected
    arguments = json.dumps({"content": content, "path": "p.py"})
    assert calls(f"[TOOL_CALLS]write_file[ARGS]{arguments}") == expected
    assert calls(XML.replace("a.py", "p.py").replace("x = 1\ny", content)) == expected


@pytest.mark.parametrize("piece", ["<parameter=x>", "{}{}{}{}{}<data></data>", "<think></think>{}", '{"a": '])
def test_a_model_that_repeats_itself_holds_nobody_up(piece: str) -> None:
    """The work grows as the text does: as its square it would take minutes."""
    with no_hang():
        read(piece * (100_000 // len(piece)), TOOLS)
