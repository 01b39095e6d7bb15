"""The APIs of language models: what a request may contain, and how responses and errors look in each."""
