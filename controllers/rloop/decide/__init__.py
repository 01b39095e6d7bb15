"""The decisions: each file looks at observed facts and says what to do next, and why."""
