"""Sessions of coding agents of other makers: what is known of each, the wrapper that runs one, and its tools."""
