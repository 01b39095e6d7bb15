"""What a session may spend and has spent: caps, reservations, accounts."""
