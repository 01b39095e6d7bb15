"""A campaign as rows, lines and boards, made from a snapshot."""
