"""Questions that several steps ask about the stored objects. They write nothing."""
