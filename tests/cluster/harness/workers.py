"""The working half of the node: containerd, kubelet, kube-proxy and the network of the pods.

Called by `cluster.up`: containerd early, because images are loaded into it, kubelet and kube-proxy when the API
server answers. What is unusual here is so because the machine may be a virtual machine or a container with
cgroup v1 and few rights, and never has more than this one node.
"""

import json
from pathlib import Path

from tests.cluster.harness import keys, node, packages, paths
from tests.cluster.harness.shell import succeeds, wait, write

PAUSE = "rloop.test/pause:1"


def socket() -> Path:
    """Where containerd listens."""
    return paths.state() / "containerd" / "containerd.sock"


def start_containerd() -> None:
    """Start containerd and wait until it answers."""
    folder = socket().parent
    # Each pod is joined to the node by a pair of interfaces and routed, so that traffic between pods passes the
    # node's packet filter without kernel modules for bridges, and addresses stay what they are.
    network = {
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {
                "type": "ptp",
                "ipam": {
                    "type": "host-local",
                    "dataDir": str(folder / "addresses"),
                    "ranges": [[{"subnet": paths.POD_NETWORK}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }
    write(folder / "cni" / "10-pods.conflist", json.dumps(network, indent=1))
    config = f"""
version = 2
root = "{folder / "root"}"
state = "{folder / "state"}"
[grpc]
  address = "{socket()}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder / "opt"}"
[plugins."io.containerd.grpc.v1.cri"]
  # Without CAP_SYS_RESOURCE a process may not make itself less likely to be killed.
  restrict_oom_score_adj = true
  sandbox_image = "{PAUSE}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{packages.plugins()}"
    conf_dir = "{folder / "cni"}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
"""
    file = write(folder / "config.toml", config)
    node.serve("containerd", "containerd", "--config", file)
    wait("containerd", _containerd_answers, seconds=30)


def start_kubelet(programs: Path) -> None:
    """Start kubelet and kube-proxy; whether they do their work is seen by the caller."""
    folder = paths.state() / "kubelet"
    resolver = write(folder / "resolv.conf", f"nameserver {paths.DNS_SERVICE_ADDRESS}\n")
    config = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": paths.NODE_ADDRESS,
        "authentication": {"anonymous": {"enabled": False}, "x509": {"clientCAFile": str(keys.folder() / "ca.crt")}},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{node.CGROUP}",
        "clusterDNS": [paths.DNS_SERVICE_ADDRESS],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": f"unix://{socket()}",
        "enforceNodeAllocatable": [],
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "failCgroupV1": False,
        "failSwapOn": False,
        # An image that is collected cannot be pulled again: there is no registry.
        "imageGCHighThresholdPercent": 100,
        "localStorageCapacityIsolation": False,
        "maxPods": 500,
        "podLogsDir": str(paths.state() / "pod-logs"),
        "resolvConf": str(resolver),
        "volumePluginDir": str(folder / "volume-plugins"),
    }
    file = write(folder / "config.json", json.dumps(config, indent=1))
    node.serve(
        "kubelet",
        programs / "kubelet",
        f"--config={file}",
        f"--kubeconfig={keys.kubeconfig(f'system:node:{paths.NODE_NAME}')}",
        f"--hostname-override={paths.NODE_NAME}",
        f"--node-ip={paths.NODE_ADDRESS}",
        f"--root-dir={folder / 'root'}",
        f"--cert-dir={folder / 'certificates'}",
    )
    proxy = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(keys.kubeconfig("system:kube-proxy"))},
        "clusterCIDR": paths.POD_NETWORK,
        # The table of connections belongs to the machine, and its limits may not be ours to set.
        "conntrack": {
            "maxPerCore": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
            "udpTimeout": "0s",
            "udpStreamTimeout": "0s",
        },
        "hostnameOverride": paths.NODE_NAME,
        "mode": "iptables",
    }
    file = write(paths.state() / "kube-proxy" / "config.json", json.dumps(proxy, indent=1))
    node.serve("kube-proxy", programs / "kube-proxy", f"--config={file}")


def ctr() -> list[str]:
    """The words of a containerd command, on the images that kubelet sees."""
    return ["ctr", "--address", str(socket()), "--namespace", "k8s.io"]


def _containerd_answers() -> bool:
    node.check_servers()
    return succeeds(*node.entering(), *ctr(), "version")
