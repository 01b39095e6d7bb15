"""The control plane: etcd, API server, controller manager and scheduler, as servers of the node.

Called by `cluster.up`, after `node.start`. All settings are the defaults of a plain cluster where possible: Pod
Security admission, RBAC, projected tokens, sidecars and CRDs are all on by default.
"""

from pathlib import Path

from tests.cluster.harness import keys, node, paths
from tests.cluster.harness.shell import run, succeeds, wait, write

_CREDENTIALS = ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")

# A place for what runs in no pod but belongs to the cluster: the name service.
_COREDNS_ROLE = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: "system:coredns"}
rules:
- {apiGroups: [""], resources: [services, pods, namespaces, nodes], verbs: [list, watch]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: "system:coredns"}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "system:coredns"}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: "system:coredns"}]
"""


def start(programs: Path) -> None:
    """Start the four servers; returns when the API server answers and the others have been started."""
    key = keys.folder()
    node.serve(
        "etcd",
        programs / "etcd",
        f"--data-dir={paths.state() / 'etcd'}",
        "--listen-client-urls=http://127.0.0.1:2379",
        "--advertise-client-urls=http://127.0.0.1:2379",
        "--listen-peer-urls=http://127.0.0.1:2380",
        # Nobody wants this data back after a power cut, and disks of test machines are slow.
        "--unsafe-no-fsync",
    )
    node.serve(
        "kube-apiserver",
        programs / "kube-apiserver",
        "--etcd-servers=http://127.0.0.1:2379",
        f"--bind-address={paths.NODE_ADDRESS}",
        f"--advertise-address={paths.NODE_ADDRESS}",
        f"--service-cluster-ip-range={paths.SERVICE_NETWORK}",
        f"--tls-cert-file={key / 'api-server.crt'}",
        f"--tls-private-key-file={key / 'api-server.key'}",
        f"--client-ca-file={key / 'ca.crt'}",
        f"--token-auth-file={key / 'tokens.csv'}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={key / 'accounts.key'}",
        f"--service-account-signing-key-file={key / 'accounts.key'}",
        f"--kubelet-client-certificate={key / 'kubelet-client.crt'}",
        f"--kubelet-client-key={key / 'kubelet-client.key'}",
        # Webhooks are called at their pods: the node has no route to services, which only pods and the host need.
        "--enable-aggregator-routing",
        # The node's name is in no name service.
        "--kubelet-preferred-address-types=InternalIP",
    )
    wait("the API server", _is_ready, seconds=60)
    node.serve(
        "kube-controller-manager",
        programs / "kube-controller-manager",
        *_as("system:kube-controller-manager"),
        f"--root-ca-file={key / 'ca.crt'}",
        f"--service-account-private-key-file={key / 'accounts.key'}",
        "--use-service-account-credentials",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
    )
    node.serve(
        "kube-scheduler",
        programs / "kube-scheduler",
        *_as("system:kube-scheduler"),
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
    )
    role = write(key / "coredns-role.yaml", _COREDNS_ROLE)
    run(*kubectl(), "apply", "-f", role)


def kubectl() -> list[str]:
    """The words of a kubectl command to our own cluster, as its administrator."""
    return [str(paths.state() / "bin" / "kubectl"), "--kubeconfig", str(paths.kubeconfig())]


def answers() -> bool:
    """Whether the API server says that it is ready."""
    return succeeds(*kubectl(), "get", "--raw", "/readyz")


def _is_ready() -> bool:
    node.check_servers()
    return answers()


def _as(user: str) -> list[str]:
    return [f"--{flag}={keys.kubeconfig(user)}" for flag in _CREDENTIALS]
