"""The name service: CoreDNS as a server of the node, behind the same Service that every cluster has.

Called by `cluster.up`. It runs beside the cluster and not in a pod, which saves an image; pods cannot tell.
Names outside the cluster do not exist: a test that needs the Internet should fail at once, and everywhere.
"""

import json
import secrets
import socket
import struct
from pathlib import Path

from tests.cluster.harness import control_plane, keys, node, paths
from tests.cluster.harness.shell import run, write

# Two servers on one address: within one, the plugin for unknown names would come before the one for known names.
_CONFIG = """
cluster.local:53 in-addr.arpa:53 {{
  bind {address}
  errors
  kubernetes cluster.local in-addr.arpa {{
    kubeconfig {kubeconfig}
    ttl 5
  }}
}}
.:53 {{
  bind {address}
  template ANY ANY {{
    rcode NXDOMAIN
  }}
}}
"""


def start(programs: Path) -> None:
    """Start the server and make the Service that leads to it."""
    config = _CONFIG.format(address=paths.NODE_ADDRESS, kubeconfig=keys.kubeconfig("system:coredns"))
    node.serve("coredns", programs / "coredns", "-conf", write(paths.state() / "coredns" / "Corefile", config))
    ports = [{"name": f"dns-{kind.lower()}", "port": 53, "protocol": kind} for kind in ("UDP", "TCP")]
    where = {"namespace": "kube-system", "name": "kube-dns"}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {**where, "labels": {"k8s-app": "kube-dns", "kubernetes.io/name": "CoreDNS"}},
        "spec": {"clusterIP": paths.DNS_SERVICE_ADDRESS, "ports": ports},
    }
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {**where, "labels": {"kubernetes.io/service-name": "kube-dns"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [paths.NODE_ADDRESS], "conditions": {"ready": True}}],
        "ports": ports,
    }
    both = {"apiVersion": "v1", "kind": "List", "items": [service, endpoints]}
    run(*control_plane.kubectl(), "apply", "-f", "-", stdin=json.dumps(both))


def answers() -> bool:
    """Whether a name of the cluster has an address, asked as a pod would: by way of the Service."""
    number = secrets.randbits(16)
    words = ["kubernetes", "default", "svc", "cluster", "local"]
    name = b"".join(bytes([len(word)]) + word.encode() for word in words) + b"\0"
    # One question, recursion desired, for an IPv4 address.
    question = struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + name + struct.pack("!2H", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(0.5)
        try:
            asking.sendto(question, (paths.DNS_SERVICE_ADDRESS, 53))
            answer = asking.recv(512)
        except OSError:
            return False
    return answer[:2] == question[:2] and answer.endswith(socket.inet_aton(paths.API_SERVICE_ADDRESS))
