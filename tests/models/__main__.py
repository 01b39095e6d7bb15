"""`python -m tests.models`: the scripted model server as a process of its own.

Prints its base URL as the first line. It ends when its standard input does, and so with whoever started it.
"""

from __future__ import annotations

import argparse
import sys
import threading
from pathlib import Path

from tests.models.failures import KINDS
from tests.models.rogues import SCRIPTS
from tests.models.server import ModelServer


def main() -> int:
    """Serve until the input ends."""
    names = f"It ends with its standard input. Names of models: {', '.join(SCRIPTS)}, each also with a failure: "
    parser = argparse.ArgumentParser(
        description="A model server that plays scripts. No language model is in it.",
        epilog=f"{names}researcher+{KINDS[0]}x2 fails twice. Failures: {', '.join(KINDS)}.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="where it listens; in a pod 0.0.0.0")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--key", help="the API key that it wants; none: any")
    parser.add_argument("--log", type=Path, help="a file that gets each request as a line of JSON")
    told = parser.parse_args()
    with ModelServer(told.port, told.key, told.log, host=told.host) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        sys.stdin.read()
        server.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
