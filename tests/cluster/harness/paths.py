"""Where the harness keeps what it makes, and the addresses it uses.

Imported by every other file of the harness. Nothing is ever written into the checkout: what is dear to make
(binaries, images) lies in the cache, and all that one running cluster needs lies in one state directory, so
that taking the cluster down ends with removing that directory.
"""

import os
from pathlib import Path

ROOT = Path(__file__).parents[3]
TOOLS = Path(__file__).parents[1] / "tools"

# The node is a network namespace of its own, joined to the host by one pair of interfaces. All servers listen
# inside it; the host reaches them, pods and services included, over that pair, and nobody else does.
LINK = "rloop0"
HOST_ADDRESS = "10.87.0.1"
NODE_ADDRESS = "10.87.0.2"
LINK_NETWORK = "10.87.0.0/30"
POD_NETWORK = "10.88.0.0/16"
SERVICE_NETWORK = "10.96.0.0/16"
API_SERVICE_ADDRESS = "10.96.0.1"
DNS_SERVICE_ADDRESS = "10.96.0.10"
API_SERVER = f"https://{NODE_ADDRESS}:6443"
NODE_NAME = "rloop-node"


def cache() -> Path:
    """What outlives clusters and checkouts; each folder in it is named by the hash of what made it."""
    base = os.environ.get("RLOOP_CACHE") or os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache").absolute() / "rloop-cluster"


def state() -> Path:
    """The one directory of the running cluster. /var/tmp, because /tmp may be small or in memory."""
    folder = Path(os.environ.get("RLOOP_CLUSTER_DIR") or "/var/tmp/rloop-cluster").absolute()
    if folder.is_relative_to(ROOT) or ROOT.is_relative_to(folder):
        raise ValueError(f"RLOOP_CLUSTER_DIR is {folder}: it must not touch the checkout")
    # The node has its own of these (see node.py), so it could not see the folder.
    if any(folder.is_relative_to(private) for private in ("/run", "/var/run", "/var/lib", "/var/log")):
        raise ValueError(f"RLOOP_CLUSTER_DIR is {folder}: not under /run, /var/lib or /var/log, please")
    return folder


def kubeconfig() -> Path:
    """The administrator's kubeconfig of our own cluster."""
    return state() / "admin.kubeconfig"


def given_kubeconfig() -> str | None:
    """A kubeconfig that is not ours, set by whoever runs us: then that cluster is used, and left as it is."""
    given = os.environ.get("KUBECONFIG")
    return given if given and Path(given).absolute() != kubeconfig() else None
