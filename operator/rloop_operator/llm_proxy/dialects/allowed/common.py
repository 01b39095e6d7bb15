"""Shared parts of the tables of the three dialects: reasons for rejections, and service tiers with the usual price."""

from __future__ import annotations

from rloop_operator.llm_proxy.dialects.allowed.shapes import Fields, OneOf, Refused, scalars

CLIENTS_HISTORY = "the client must keep the history itself"
CLIENTS_TOOLS = "only tools that the client runs are allowed"
STORED = "it refers to content stored at the provider; send the content itself"
OTHER_PRICES = "it has other prices"

HISTORY = Refused(CLIENTS_HISTORY)
TOOLS_ELSEWHERE = Refused(CLIENTS_TOOLS)
STORED_THERE = Refused(STORED)
TIER = OneOf(("auto", "default", "standard_only", "flex"), OTHER_PRICES)
CACHE_CONTROL = Fields(scalars("type", "ttl", "scope"))
