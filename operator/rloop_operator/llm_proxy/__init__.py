"""The LLM proxy: the only holder of providers' keys, and the only way of an agent to a language model."""
