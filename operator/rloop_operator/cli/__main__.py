"""`python -m rloop_operator.cli`: the command `rloop` if its script is not in PATH."""

from __future__ import annotations

from rloop_operator.cli.main import main

main()
