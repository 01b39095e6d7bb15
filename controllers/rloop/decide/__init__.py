"""The decisions: each module examines the observed facts and decides what to do next, with a reason."""
