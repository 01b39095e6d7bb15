"""The other APIs that the scripted server speaks: Anthropic's messages and OpenAI's responses.

Used by the server. A request is read as one of chat.completions, which is what scripts know; the answer of a script
goes out in the API of the request, streamed if the client asks for it, as coding agents do.
"""

from __future__ import annotations

import json
from typing import Any

PATHS = {"/v1/messages": "messages", "/v1/responses": "responses"}
Events = list[dict[str, Any]]


def as_chat(api: str, request: dict[str, Any]) -> dict[str, Any]:
    """The request in the shape of chat.completions."""
    return _from_messages(request) if api == "messages" else _from_responses(request)


def answered(api: str, completion: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """The answer of a completion, in the API of the request."""
    message, usage = completion["choices"][0]["message"], completion["usage"]
    calls = [
        (one["id"], one["function"]["name"], one["function"]["arguments"]) for one in message.get("tool_calls", [])
    ]
    text = message["content"] or ""
    if api == "messages":
        said = [{"type": "text", "text": text}] if text else []
        used = [{"type": "tool_use", "id": one, "name": name, "input": json.loads(given)} for one, name, given in calls]
        return {
            "id": completion["id"],
            "type": "message",
            "role": "assistant",
            "model": completion["model"],
            "content": [*said, *used],
            "stop_reason": "tool_use" if calls else "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": usage["prompt_tokens"], "output_tokens": usage["completion_tokens"]},
        }
    homes = _namespaces(request)
    items: Events = []
    if text:
        part: dict[str, Any] = {"type": "output_text", "text": text, "annotations": []}
        items.append({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]})
    for one, name, given in calls:
        item = {"type": "function_call", "id": f"fc_{one}", "call_id": one, "name": name, "arguments": given}
        items.append({**item, "status": "completed", **({"namespace": homes[name]} if name in homes else {})})
    return {
        "id": f"resp_{completion['id']}",
        "object": "response",
        "created_at": 0,
        "status": "completed",
        "model": completion["model"],
        "output": items,
        "usage": {
            "input_tokens": usage["prompt_tokens"],
            "input_tokens_details": {"cached_tokens": usage["prompt_tokens_details"]["cached_tokens"]},
            "output_tokens": usage["completion_tokens"],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage["total_tokens"],
        },
    }


def events(api: str, answer: dict[str, Any]) -> Events:
    """The answer as the events of a stream."""
    return _events_of_messages(answer) if api == "messages" else _events_of_responses(answer)


def _from_messages(request: dict[str, Any]) -> dict[str, Any]:
    messages: Events = []
    for one in request["messages"]:
        parts = one["content"] if isinstance(one["content"], list) else [{"type": "text", "text": one["content"]}]
        text = "".join(part["text"] for part in parts if part["type"] == "text")
        if one["role"] == "assistant":
            calls = [
                {"id": part["id"], "function": {"name": part["name"], "arguments": json.dumps(part["input"])}}
                for part in parts
                if part["type"] == "tool_use"
            ]
            messages.append({"role": "assistant", "content": text, "tool_calls": calls})
            continue
        messages += [
            {"role": "tool", "tool_call_id": part["tool_use_id"], "content": _joined(part.get("content", ""))}
            for part in parts
            if part["type"] == "tool_result"
        ]
        if text:
            messages.append({"role": "user", "content": text})
    tools = [{"function": {"name": one["name"]}} for one in request.get("tools", [])]
    return {"model": request["model"], "messages": messages, "tools": tools}


def _from_responses(request: dict[str, Any]) -> dict[str, Any]:
    messages: Events = []
    asked = request["input"]
    for one in asked if isinstance(asked, list) else [{"role": "user", "content": asked}]:
        match one.get("type", "message"):
            case "message":
                _say(messages, one["role"], _joined(one["content"]))
            case "function_call":
                call = {"id": one["call_id"], "function": {"name": one["name"], "arguments": one["arguments"]}}
                messages.append({"role": "assistant", "content": "", "tool_calls": [call]})
            case "function_call_output":
                output = one["output"]
                messages.append({"role": "tool", "tool_call_id": one["call_id"], "content": _joined(output)})
            case _:
                pass  # reasoning, and what a client notes for itself
    names = [name for one in request.get("tools", []) for name in _names(one)]
    return {"model": request["model"], "messages": messages, "tools": [{"function": {"name": one}} for one in names]}


def _say(messages: Events, role: str, text: str) -> None:
    """Add words; those of a user in a row are one message, because a client begins with several."""
    if role == "user" and messages and messages[-1]["role"] == "user":
        messages[-1]["content"] += f"\n{text}"
    else:
        messages.append({"role": role, "content": text})


def _names(tool: dict[str, Any]) -> list[str]:
    if tool["type"] == "namespace":
        return [one["name"] for one in tool["tools"]]
    return [tool["name"]] if "name" in tool else []


def _namespaces(request: dict[str, Any]) -> dict[str, str]:
    """The namespace of each tool that is in one."""
    spaces = [one for one in request.get("tools", []) if one["type"] == "namespace"]
    return {tool["name"]: one["name"] for one in spaces for tool in one["tools"]}


def _joined(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content if isinstance(part, dict))


def _events_of_messages(answer: dict[str, Any]) -> Events:
    start = {**answer, "content": [], "stop_reason": None, "usage": {**answer["usage"], "output_tokens": 1}}
    found: Events = [{"type": "message_start", "message": start}]
    for index, block in enumerate(answer["content"]):
        if block["type"] == "text":
            empty, delta = {**block, "text": ""}, {"type": "text_delta", "text": block["text"]}
        else:
            empty = {**block, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        found += [
            {"type": "content_block_start", "index": index, "content_block": empty},
            {"type": "content_block_delta", "index": index, "delta": delta},
            {"type": "content_block_stop", "index": index},
        ]
    end = {"stop_reason": answer["stop_reason"], "stop_sequence": None}
    return [*found, {"type": "message_delta", "delta": end, "usage": answer["usage"]}, {"type": "message_stop"}]


def _events_of_responses(answer: dict[str, Any]) -> Events:
    found: Events = [{"type": "response.created", "response": {**answer, "status": "in_progress", "output": []}}]
    for index, item in enumerate(answer["output"]):
        begun = {**item, "status": "in_progress"}
        found += [
            {"type": "response.output_item.added", "output_index": index, "item": begun},
            {"type": "response.output_item.done", "output_index": index, "item": item},
        ]
    found.append({"type": "response.completed", "response": answer})
    return [{**one, "sequence_number": number} for number, one in enumerate(found)]
