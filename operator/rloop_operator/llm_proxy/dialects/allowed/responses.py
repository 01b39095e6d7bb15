"""Fields of OpenAI's responses that are passed on.

The `id` of an item that is complete in itself is left out: a provider that stores answers could look it up.
"""

from __future__ import annotations

from rloop_operator.llm_proxy.dialects.allowed.common import HISTORY, STORED_THERE, TIER
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
    Shape,
    scalars,
)

_TEXT = Fields(scalars("text"))
_PICTURE: dict[str, Shape] = {"image_url": INLINE_URL, "detail": SCALAR, "file_id": STORED_THERE}
_PART = Kinds(
    {
        "input_text": _TEXT,
        "output_text": _TEXT,
        "text": _TEXT,
        "summary_text": _TEXT,
        "reasoning_text": _TEXT,
        "refusal": Fields(scalars("refusal")),
        "input_image": Fields(_PICTURE),
        "computer_screenshot": Fields(_PICTURE),
        "input_file": Fields(
            {
                "file_data": INLINE,
                "filename": SCALAR,
                "file_id": STORED_THERE,
                "file_url": Refused("the provider must not fetch files for an agent; send file_data"),
            }
        ),
    }
)
_PARTS = ScalarOr(Items(_PART))
_FUNCTION = Fields(
    {
        **scalars("name", "description", "strict", "defer_loading", "async"),
        "parameters": DATA,
        "output_schema": DATA,
    }
)
_CUSTOM = Fields({**scalars("name", "description", "defer_loading", "async"), "format": DATA})
_LOCAL = OneOf(({"type": "local"},), "only the client's own shell is allowed")
_NAMESPACED = Kinds({"function": _FUNCTION, "custom": _CUSTOM}, leaves_out=True)
TOOL = Kinds(
    {
        "function": _FUNCTION,
        "custom": _CUSTOM,
        "namespace": Fields({**scalars("name", "description"), "tools": Items(_NAMESPACED)}),
        "local_shell": Fields({}),
        "shell": Fields({"environment": _LOCAL}, required=("environment",)),
        "apply_patch": Fields({}),
        "computer": Fields({}),
        "computer_use_preview": Fields(scalars("display_height", "display_width", "environment")),
        # It searches the tools of the request and nothing else.
        "tool_search": Fields({**scalars("description", "execution"), "parameters": DATA}),
    },
    leaves_out=True,
)
_CALL = scalars("call_id", "name", "namespace", "status")
_OUTPUT: dict[str, Shape] = {**scalars("call_id", "name", "namespace", "status"), "output": _PARTS}
_ITEM = Kinds(
    {
        "message": Fields({**scalars("role", "status", "phase"), "content": _PARTS}, required=("role", "content")),
        "function_call": Fields({**_CALL, "arguments": SCALAR}),
        "function_call_output": Fields(_OUTPUT),
        "custom_tool_call": Fields({**_CALL, "input": SCALAR}),
        "custom_tool_call_output": Fields(_OUTPUT),
        "local_shell_call": Fields({**_CALL, "id": SCALAR, "action": DATA}, required=("action",)),
        "local_shell_call_output": Fields({**_OUTPUT, "id": SCALAR}, required=("output",)),
        "shell_call": Fields({**_CALL, "action": DATA}),
        "shell_call_output": Fields({**_CALL, "output": DATA, "max_output_length": SCALAR}),
        "apply_patch_call": Fields({**_CALL, "operation": DATA}),
        "apply_patch_call_output": Fields({**_CALL, "output": SCALAR}),
        "computer_call": Fields(
            {**_CALL, "id": SCALAR, "action": DATA, "actions": DATA, "pending_safety_checks": DATA},
            required=("call_id",),
        ),
        "computer_call_output": Fields({**_CALL, "output": _PART, "acknowledged_safety_checks": DATA}),
        "tool_search_call": Fields({**_CALL, "arguments": DATA, "execution": SCALAR}),
        "tool_search_output": Fields({**_CALL, "execution": SCALAR, "tools": Items(TOOL)}),
        "additional_tools": Fields({"role": SCALAR, "tools": Items(TOOL)}),
        "reasoning": Fields(
            {**scalars("encrypted_content", "status"), "summary": Items(_PART), "content": Items(_PART)}
        ),
        "compaction": Fields(scalars("encrypted_content")),
    },
    usual="message",
    others="it refers to something stored or executed at the provider",
)
_CHOICES = {
    **dict.fromkeys(("function", "custom"), Fields(scalars("name"))),
    **dict.fromkeys(("apply_patch", "shell", "local_shell", "computer", "computer_use_preview"), Fields({})),
}
_CHOICE = Kinds(
    _CHOICES | {"allowed_tools": Fields({"mode": SCALAR, "tools": Items(Kinds(_CHOICES))})},
    others="the client does not run this tool",
)
RESPONSES_FIELDS = Fields(
    {
        **scalars(
            "model",
            "instructions",
            "temperature",
            "top_p",
            "top_logprobs",
            "max_tool_calls",
            "parallel_tool_calls",
            "store",
            "truncation",
            "user",
            "safety_identifier",
            "prompt_cache_key",
            "prompt_cache_retention",
        ),
        "input": ScalarOr(Items(_ITEM)),
        "max_output_tokens": WHOLE,
        "stream": SWITCH,
        "stream_options": Fields(scalars("include_obfuscation")),
        "include": Items(
            OneOf(("reasoning.encrypted_content", "message.output_text.logprobs"), "the proxy does not pass it on")
        ),
        "reasoning": Fields(scalars("effort", "summary", "generate_summary", "context")),
        "text": Fields(
            {
                "verbosity": SCALAR,
                "format": Fields({**scalars("type", "name", "description", "strict"), "schema": DATA}),
            }
        ),
        "tools": Items(TOOL),
        "tool_choice": ScalarOr(_CHOICE),
        "service_tier": TIER,
        "metadata": STRIPPED,
        "client_metadata": STRIPPED,
        "context_management": STRIPPED,
        "prompt_cache_options": STRIPPED,
        "previous_response_id": HISTORY,
        "conversation": HISTORY,
        "prompt": Refused("the request must contain the input itself"),
        "background": Refused("background requests are not supported"),
    },
    closed=True,
)
