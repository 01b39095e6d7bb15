"""The model: one call and its errors, what its session may still use, the history and the transcript."""
