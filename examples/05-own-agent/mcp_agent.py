"""The same with a framework that is not ours: openai-agents finds the verbs over MCP, and a model behind the LLM proxy.

It needs `pip install openai-agents`, and in loop.yaml an `agent.llm` beside this command.
"""

import asyncio
import json
import os
import threading
import time
import urllib.request

from agents import Agent, OpenAIChatCompletionsModel, Runner, set_tracing_disabled
from agents.exceptions import AgentsException
from agents.mcp import MCPServerStreamableHttp
from openai import AsyncOpenAI, OpenAIError

GATEWAY = os.environ["RLOOP_GATEWAY"]
INSTRUCTIONS = """You are a fresh session of a research campaign; your tools are all that you can reach of it. Begin
with read_context and read_task. Propose a direction, then experiments, look at what they measured, record findings. A
refusal says what to do instead. Nobody answers questions. End with finish and what the next session should know.
"""


def headers():
    """With the token: a variable here, a file in a cluster."""
    token = os.environ.get("RLOOP_TOKEN")
    if token is None:
        with open(os.environ["RLOOP_TOKEN_FILE"]) as file:
            token = file.read().strip()
    return {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}


def beat():
    """Say that we live, from a thread: the model may think for longer than silence is borne."""
    while True:
        request = urllib.request.Request(f"{GATEWAY}/v1/heartbeat", json.dumps({}).encode(), headers())
        try:
            urllib.request.urlopen(request, timeout=30).close()
        except OSError as error:
            print("no beat:", error, flush=True)
        time.sleep(float(os.environ["RLOOP_HEARTBEAT_SECONDS"]))


async def work():
    """One session. What the model does not finish itself is finished for it."""
    set_tracing_disabled(True)  # it would send everything to its maker
    key = headers()["Authorization"].removeprefix("Bearer ")
    # While its provider is away the proxy says Retry-After; then the client waits.
    proxy = AsyncOpenAI(base_url=os.environ["RLOOP_LLM_PROXY"], api_key=key, max_retries=20, timeout=600)
    gateway = {"url": f"{GATEWAY}/mcp", "headers": headers(), "timeout": 30}
    async with MCPServerStreamableHttp(gateway, client_session_timeout_seconds=30, max_retry_attempts=5) as verbs:
        context = json.loads((await verbs.call_tool("read_context", {})).content[0].text)
        agent = Agent(
            name="researcher",
            instructions=INSTRUCTIONS,
            model=OpenAIChatCompletionsModel(os.environ["RLOOP_LLM_MODEL"], proxy),
            mcp_servers=[verbs],
        )
        try:
            rounds = context["session"]["maxRounds"]
            handoff = (await Runner.run(agent, "Begin. Nobody will answer.", max_turns=rounds)).final_output
        except (AgentsException, OpenAIError) as error:
            handoff = f"The session ended early: {error}"
        await verbs.call_tool("finish", {"handoff": str(handoff)[:2048]})


if __name__ == "__main__":
    threading.Thread(target=beat, daemon=True).start()
    asyncio.run(work())
