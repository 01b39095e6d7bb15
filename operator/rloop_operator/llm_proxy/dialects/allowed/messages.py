"""Fields of Anthropic's messages and of its count_tokens that are passed on."""

from __future__ import annotations

from rloop_operator.llm_proxy.dialects.allowed.common import CACHE_CONTROL, OTHER_PRICES, STORED, TIER, TOOLS_ELSEWHERE
from rloop_operator.llm_proxy.dialects.allowed.shapes import (
    DATA,
    INLINE,
    SCALAR,
    STRIPPED,
    SWITCH,
    WHOLE,
    Fields,
    Items,
    Kinds,
    OneOf,
    ScalarOr,
    Shape,
    scalars,
)

_CACHED: dict[str, Shape] = {"cache_control": CACHE_CONTROL}
_TEXT = Fields({"text": SCALAR, "citations": DATA})
_BASE64 = Fields({"media_type": SCALAR, "data": INLINE})
_IMAGE = Fields({"source": Kinds({"base64": _BASE64}, others=STORED)}, required=("source",))
_IN_DOCUMENT = Kinds({"text": _TEXT, "image": _IMAGE}, common=_CACHED)
_DOCUMENT = Fields(
    {
        **scalars("title", "context"),
        "citations": Fields(scalars("enabled")),
        "source": Kinds(
            {
                "base64": _BASE64,
                "text": Fields(scalars("media_type", "data")),
                "content": Fields({"content": ScalarOr(Items(_IN_DOCUMENT))}),
            },
            others=STORED,
        ),
    },
    required=("source",),
)
_FOUND = Fields(
    {
        **scalars("source", "title"),
        "citations": Fields(scalars("enabled")),
        "content": Items(Kinds({"text": _TEXT}, common=_CACHED)),
    }
)
_NAMED = Fields(scalars("tool_name"))
_RESULT = Kinds(
    {"text": _TEXT, "image": _IMAGE, "document": _DOCUMENT, "search_result": _FOUND, "tool_reference": _NAMED},
    common=_CACHED,
)
_SEARCHED = Kinds(
    {
        "tool_search_tool_search_result": Fields({"tool_references": Items(Kinds({"tool_reference": _NAMED}))}),
        "tool_search_tool_result_error": Fields(scalars("error_code", "error_message")),
    }
)
_BLOCK = Kinds(
    {
        "text": _TEXT,
        "image": _IMAGE,
        "document": _DOCUMENT,
        "search_result": _FOUND,
        "thinking": Fields(scalars("thinking", "signature")),
        "redacted_thinking": Fields(scalars("data")),
        "tool_use": Fields({**scalars("id", "name", "toolset_name"), "input": DATA}),
        "tool_result": Fields(
            {**scalars("tool_use_id", "is_error", "toolset_name"), "content": ScalarOr(Items(_RESULT))}
        ),
        "server_tool_use": Fields({**scalars("id", "name"), "input": DATA}),
        "tool_search_tool_result": Fields({"tool_use_id": SCALAR, "content": _SEARCHED}),
    },
    others="it refers to something stored or executed at the provider",
    common=_CACHED,
)
_CLIENTS = Fields(
    {
        **scalars(
            "name",
            "strict",
            "defer_loading",
            "display_width_px",
            "display_height_px",
            "display_number",
            "enable_zoom",
            "max_characters",
        ),
        "input_examples": DATA,
        "configs": DATA,
    }
)
_CLIENTS_TOOLS = ("bash", "text_editor", "memory", "computer", "computer_toolset", "browser_toolset")
# They search the tools of the request and nothing else.
_SEARCHES = ("tool_search_tool_regex", "tool_search_tool_bm25")
TOOL = Kinds(
    {
        "custom": Fields(
            {
                **scalars("name", "description", "strict", "defer_loading", "eager_input_streaming"),
                "input_schema": DATA,
                "input_examples": DATA,
            }
        ),
        **dict.fromkeys((*_CLIENTS_TOOLS, *_SEARCHES), _CLIENTS),
    },
    usual="custom",
    leaves_out=True,
    common=_CACHED,
)
_PARALLEL = Fields(scalars("disable_parallel_tool_use"))
_EDIT = Fields({**scalars("clear_tool_inputs"), **dict.fromkeys(("trigger", "keep", "clear_at_least"), DATA)})
MESSAGES_FIELDS = Fields(
    {
        **scalars("model", "temperature", "top_p", "top_k"),
        "max_tokens": WHOLE,
        "stream": SWITCH,
        "system": ScalarOr(Items(Kinds({"text": _TEXT}, common=_CACHED))),
        "messages": Items(Fields({"role": SCALAR, "content": ScalarOr(Items(_BLOCK))})),
        "stop_sequences": Items(SCALAR),
        "cache_control": CACHE_CONTROL,
        "thinking": Fields(scalars("type", "budget_tokens", "display")),
        "output_config": Fields(
            {
                "effort": SCALAR,
                "format": Fields({"type": SCALAR, "schema": DATA}),
                "task_budget": Fields(scalars("type", "total", "remaining")),
            }
        ),
        "output_format": Fields({"type": SCALAR, "schema": DATA}),
        # Other edits call the model once more, which the answer's token count does not include.
        "context_management": Fields(
            {"edits": Items(Kinds({"clear_tool_uses": _EDIT, "clear_thinking": _EDIT}, leaves_out=True))}
        ),
        "tools": Items(TOOL),
        "tool_choice": Kinds(
            {
                "auto": _PARALLEL,
                "any": _PARALLEL,
                "none": _PARALLEL,
                "tool": Fields({"name": SCALAR, **_PARALLEL.fields}),
            }
        ),
        "service_tier": TIER,
        "speed": OneOf(("standard",), OTHER_PRICES),
        "inference_geo": OneOf(("global",), OTHER_PRICES),
        "metadata": STRIPPED,
        "diagnostics": STRIPPED,
        "mcp_servers": TOOLS_ELSEWHERE,
        "container": TOOLS_ELSEWHERE,
    },
    closed=True,
)
