"""`python -m rloop_sidecar unpack|relay`: the two helpers that run beside a user's container.

Started by the kubelet in the pods of experiments and verifiers. Both are in one image, so that a node pulls only one.

Exit codes: 0 done, 1 the machine failed (disk, mount), 2 the environment is invalid, 3 the files are not the sealed
ones, or exceed their limits.
"""

from __future__ import annotations

import os
import sys

from rloop_sidecar.environment import BadEnvironment


def main(arguments: list[str]) -> int:
    """Run the named command; returns the exit code."""
    match arguments:
        # Imported here: the libraries of one command would dominate the start time of the other.
        case ["unpack"]:
            from rloop_sidecar import unpack

            return unpack.main(os.environ)
        case ["relay"]:
            from rloop_sidecar import relay

            try:
                return relay.main(os.environ)
            except BadEnvironment as error:
                print(error, file=sys.stderr)
                return 2
        case _:
            print("usage: python -m rloop_sidecar unpack|relay", file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
