"""When a loop has its pass: the queue, the passes, and what follows one that failed."""
