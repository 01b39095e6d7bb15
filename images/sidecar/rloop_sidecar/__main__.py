"""`python -m rloop_sidecar unpack|relay`: the two helpers of ours that stand beside a user's container.

Started by the kubelet in the pods of experiments and verifiers. One image for both, so that a node pulls one.

Exit codes: 0 done, 1 the machine failed (disk, mount), 2 the environment is wrong, 3 the files are not what was
sealed, or are beyond their limits.
"""

from __future__ import annotations

import os
import sys

from rloop_sidecar.environment import BadEnvironment


def main(arguments: list[str]) -> int:
    """Run the command that is named."""
    match arguments:
        # Each imports its own: one program's libraries would make up most of the other's start.
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
