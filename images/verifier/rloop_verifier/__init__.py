"""The verifier: scores an artifact with the user's own code and writes a verdict."""
