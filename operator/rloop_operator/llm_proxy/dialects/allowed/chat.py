"""Fields of OpenAI's chat.completions that are passed on, including common extensions of compatible servers."""

from __future__ import annotations

from rloop_operator.llm_proxy.dialects.allowed.common import CACHE_CONTROL, STORED_THERE, TIER, TOOLS_ELSEWHERE
from rloop_operator.llm_proxy.dialects.allowed.shapes import (
    DATA,
    INLINE,
    INLINE_URL,
    SCALAR,
    STRIPPED,
    SWITCH,
    WHOLE,
    Fields,
    Items,
    Kinds,
    OneOf,
    Refused,
    ScalarOr,
    scalars,
)

_URL = {"url": INLINE_URL, **scalars("detail", "format")}
_PART = Kinds(
    {
        "text": Fields(scalars("text")),
        "refusal": Fields(scalars("refusal")),
        "image_url": Fields({"image_url": Fields(_URL, required=("url",))}),
        "video_url": Fields({"video_url": Fields(_URL, required=("url",))}),
        "audio_url": Fields({"audio_url": Fields(_URL, required=("url",))}),
        "input_audio": Fields({"input_audio": Fields({"data": INLINE, "format": SCALAR})}),
        "file": Fields({"file": Fields({"file_data": INLINE, "filename": SCALAR, "file_id": STORED_THERE})}),
    },
    common={"cache_control": CACHE_CONTROL},
)
_FUNCTION = Fields({**scalars("name", "description", "strict"), "parameters": DATA})
_CUSTOM = Fields({**scalars("name", "description"), "format": DATA})
_CALLED = Fields(scalars("name", "arguments"))
_CALL = Kinds(
    {
        "function": Fields({"function": _CALLED}),
        "custom": Fields({"custom": Fields(scalars("name", "input"))}),
    },
    usual="function",
    common={**scalars("id", "index"), "extra_content": DATA},
)
_MESSAGE = Fields(
    {
        **scalars("role", "name", "tool_call_id", "refusal", "reasoning_content", "reasoning", "prefix", "partial"),
        "content": ScalarOr(Items(_PART)),
        "tool_calls": Items(_CALL),
        "function_call": _CALLED,
        "reasoning_details": DATA,
        "cache_control": CACHE_CONTROL,
        "audio": STORED_THERE,
    }
)
TOOL = Kinds(
    {
        "function": Fields({"function": _FUNCTION, "cache_control": CACHE_CONTROL}),
        "custom": Fields({"custom": _CUSTOM}),
    },
    usual="function",
    leaves_out=True,
)
_NAMED = Fields(scalars("name"))
_CHOICES = {"function": Fields({"function": _NAMED}), "custom": Fields({"custom": _NAMED})}
_CHOICE = Kinds(
    _CHOICES | {"allowed_tools": Fields({"allowed_tools": Fields({"mode": SCALAR, "tools": Items(Kinds(_CHOICES))})})},
    others="the client does not run this tool",
)
CHAT_FIELDS = Fields(
    {
        **scalars(
            "model",
            "temperature",
            "top_p",
            "top_k",
            "min_p",
            "frequency_penalty",
            "presence_penalty",
            "repetition_penalty",
            "seed",
            "logprobs",
            "top_logprobs",
            "parallel_tool_calls",
            "reasoning_effort",
            "verbosity",
            "store",
            "user",
            "safety_identifier",
            "prompt_cache_key",
            "prompt_cache_retention",
            "cache_prompt",
            "enable_thinking",
        ),
        "messages": Items(_MESSAGE),
        "max_tokens": WHOLE,
        "max_completion_tokens": WHOLE,
        "n": WHOLE,
        "stream": SWITCH,
        "stream_options": Fields(scalars("include_usage", "include_obfuscation")),
        "stop": ScalarOr(Items(SCALAR)),
        "logit_bias": DATA,
        "response_format": Fields({"type": SCALAR, "json_schema": DATA, "schema": DATA}),
        "prediction": Fields({"type": SCALAR, "content": ScalarOr(Items(_PART))}),
        "reasoning": Fields(scalars("effort", "max_tokens", "exclude", "enabled", "summary")),
        "thinking": Fields(scalars("type", "budget_tokens", "clear_thinking")),
        "chat_template_kwargs": Fields(scalars("enable_thinking", "thinking", "reasoning_effort")),
        "tools": Items(TOOL),
        "tool_choice": ScalarOr(_CHOICE),
        "functions": Items(_FUNCTION),
        "function_call": ScalarOr(_NAMED),
        "service_tier": TIER,
        "modalities": OneOf((["text"],), "audio output has other prices"),
        "metadata": STRIPPED,
        "audio": Refused("audio output has other prices"),
        "web_search_options": TOOLS_ELSEWHERE,
    },
    closed=True,
)
