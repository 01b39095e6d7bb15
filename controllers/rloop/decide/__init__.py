"""The decisions: `chain` runs them in order on a `draft`; each step lies in the room of what it decides about."""
