"""What a session gets to see of its campaign: which objects, in which form, and within which size."""
