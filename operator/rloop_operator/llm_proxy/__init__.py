"""The LLM proxy: the only process with the providers' keys, and an agent's only access to a language model."""
