"""Errors of language models' APIs, as their providers word them: whether a request was too long for the model.

Used by the LLM proxy, which tells the campaign, and by the agent, which shortens its history. Not every provider has a
code for it, so the sentence is looked at as well.
"""

from __future__ import annotations

import re

CODES = frozenset({"context_length_exceeded", "exceed_context_size_error", "context_too_long"})
"""OpenAI's, llama.cpp's, and that of some gateways."""
SENTENCES = re.compile(
    r"""(?xi)
      maximum\ context\ length                         # OpenAI, vLLM
    | context[ _]length[ _]exceeded
    | prompt\ is\ too\ long                            # Anthropic
    | exceeds?\ (?:the\ )?(?:available\ )?context       # Anthropic (input + max_tokens), llama.cpp, Ollama
    | (?:longer|larger|more|greater)\ than\ the\ (?:model's\ )?(?:maximum\ )?context
    | context\ (?:window|size|limit)\ (?:is\ |was\ |of\ [^.]*\ )?(?:exceeded|too\ small)
    | input\ token\ count\ [^.]*exceeds                # Gemini
    """
)


def context_too_long(code: str, message: str) -> bool:
    """Whether an error says that the request does not fit into the model's context."""
    return code in CODES or SENTENCES.search(message) is not None
