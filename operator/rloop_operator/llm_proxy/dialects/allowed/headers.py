"""Client headers that are passed on, by name and by value.

A beta can enable tools that run at the provider, or other prices. Only betas that do neither are listed.
"""

from __future__ import annotations

import re

from starlette.datastructures import Headers

from rloop_operator.llm_proxy.dialects.allowed.shapes import LeftOut

VERSION = re.compile(r"\d{4}-\d{2}-\d{2}")
BETAS = {
    "anthropic-beta": frozenset(
        {
            "advanced-tool-use-2025-11-20",
            "claude-code-20250219",
            "computer-use-2024-10-22",
            "computer-use-2025-01-24",
            "computer-use-2025-11-24",
            "context-management-2025-06-27",
            "dev-full-thinking-2025-05-14",
            "effort-2025-11-24",
            "extended-cache-ttl-2025-04-11",
            "fine-grained-tool-streaming-2025-05-14",
            "interleaved-thinking-2025-05-14",
            "model-context-window-exceeded-2025-08-26",
            "output-128k-2025-02-19",
            "pdfs-2024-09-25",
            "prompt-caching-2024-07-31",
            "prompt-caching-scope-2026-01-05",
            "structured-outputs-2025-11-13",
            "structured-outputs-2025-12-15",
            "task-budgets-2026-03-13",
            "thinking-token-count-2026-05-13",
            "token-counting-2024-11-01",
            "token-efficient-tools-2025-02-19",
            "tool-search-tool-2025-10-19",
        }
    ),
    "openai-beta": frozenset({"responses=experimental"}),
}


def passed_on(client: Headers, left_out: LeftOut) -> dict[str, str]:
    """The client's headers for the provider. Other values of a listed header are recorded in `left_out`."""
    found = {}
    version = client.get("anthropic-version", "")
    if VERSION.fullmatch(version):
        found["anthropic-version"] = version
    for name, harmless in BETAS.items():
        asked = [one.strip() for line in client.getlist(name) for one in line.split(",") if one.strip()]
        kept = [one for one in dict.fromkeys(asked) if one in harmless]
        for one in asked:
            if one not in harmless:
                left_out.add(f"{name}: {one}")
        if kept:
            found[name] = ",".join(kept)
    return found
