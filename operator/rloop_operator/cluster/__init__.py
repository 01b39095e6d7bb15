"""The cluster shell: its processes (operator, gateway, llm_proxy, guard) and their settings, over the rooms below."""
