"""The node: one idle process that holds the namespaces in which the whole cluster runs.

Used by `cluster`, and by whoever starts something in the node. Its process, mount and network namespaces make
the end simple and safe: when this one process is killed, the kernel kills every process of the cluster, and
mounts, interfaces, routes and packet filter rules go with them. Nothing of the host's is changed but one pair
of interfaces with its routes, and a cgroup; nothing of anybody else's is ever looked for, let alone stopped.
"""

import contextlib
import ipaddress
import json
import subprocess
from functools import partial
from pathlib import Path

from tests.cluster.harness import identity, paths
from tests.cluster.harness.shell import Failure, run, tail, wait, write

CGROUP = "rloop-cluster"

# Process 1 of the node. /run, /var/log and /var/lib are its own, because kubelet, containerd and the network
# plugins write there wherever one tells them to work. Ignoring SIGCHLD lets the kernel reap orphans (by env,
# because the trap of dash cannot do that).
_INIT = """
set -e
resolver=$(readlink -f /etc/resolv.conf)
cp "$resolver" "$1/resolver"
mount -t tmpfs -o mode=0755 tmpfs /run
mount -t tmpfs -o mode=0755 tmpfs /var/log
mkdir -p "$1/var-lib/upper" "$1/var-lib/work"
mount -t overlay -o "lowerdir=/var/lib,upperdir=$1/var-lib/upper,workdir=$1/var-lib/work" overlay /var/lib
[ -e "$resolver" ] || { mkdir -p "${resolver%/*}"; cp "$1/resolver" "$resolver"; }
touch "$1/node.ready"
exec env --ignore-signal=CHLD sleep infinity
"""

# Leaves its identity before anything else, so that a crash of ours right here is no leak.
_OUTER = """
echo "$$ $(cut -d ' ' -f 22 /proc/$$/stat) $(cat /proc/sys/kernel/random/boot_id)" > "$1/node.outer"
exec unshare --mount --net --pid --fork --mount-proc sh -c "$2" sh "$1"
"""

# What ends is written down, so that waiting for a dead server is not needed.
_COMPONENT = 'log=$1 exited=$2; shift 2; "$@" >>"$log" 2>&1; echo "$?" >"$exited"'


def check_machine() -> None:
    """Fail where a node of ours would get in the way of somebody else."""
    if not _is_unlinked():
        raise Failure(f"another cluster of this harness is up on this machine (interface {paths.LINK})")
    ours = [ipaddress.ip_network(net) for net in (paths.LINK_NETWORK, paths.POD_NETWORK, paths.SERVICE_NETWORK)]
    for route in json.loads(run("ip", "-json", "-4", "route", "show", "table", "all")):
        if route["dst"] == "default":
            continue
        taken = ipaddress.ip_network(route["dst"], strict=False)
        if any(taken.overlaps(net) for net in ours):
            raise Failure(f"this machine has a route to {taken}, which the cluster would use itself")


def start() -> None:
    """Make the namespaces, join them to the host, and prepare the cgroup."""
    folder = paths.state()
    with (folder / "node.log").open("w") as log:
        # In a session of its own and not our child: it outlives us.
        subprocess.run(
            ["setsid", "--fork", "sh", "-c", _OUTER, "sh", str(folder), _INIT],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=True,
        )
    try:
        wait("the node's namespaces", (folder / "node.ready").exists, seconds=10, every=0.05)
    except Failure as error:
        raise Failure(f"{error}:\n{tail((folder / 'node.log').read_text())}") from error
    outer = identity.load(folder / "node.outer")
    children = outer.children() if outer else []
    if len(children) != 1:
        raise Failure("the node's first process cannot be found")
    write(folder / "node.process", children[0].dump())
    for cgroup in _cgroups():
        cgroup.mkdir(exist_ok=True)
    _connect(children[0].pid)


def process() -> identity.Process | None:
    """Process 1 of the node as the host sees it, while it lives."""
    found = identity.load(paths.state() / "node.process")
    return found if found and found.exists() else None


def stop() -> None:
    """Kill the node, and with it everything in it; nothing happens where none lives."""
    for name in ("node.process", "node.outer"):
        found = identity.load(paths.state() / name)
        if found and found.exists():
            inner = found.children() if name == "node.outer" else []
            for victim in [*inner, found]:
                victim.kill()
                # Process 1 is gone only after all others of its namespace are.
                wait("the end of the node's processes", victim.gone, seconds=60)
    with contextlib.suppress(Failure):
        wait("the end of the node's network", _is_unlinked, seconds=10, every=0.05)
    if not _is_unlinked():
        # Nothing of ours lives: it belongs to a cluster with another state directory.
        return
    for cgroup in _cgroups():
        # A cgroup's folders look like files inside, but are removed by rmdir, from the leaves up.
        for folder in [*sorted(cgroup.rglob("*/"), reverse=True), cgroup]:
            wait("the end of the node's cgroup", partial(_removed, folder), seconds=10)


def entering(*, network: bool = True) -> list[str]:
    """The words in front of a command that make it run in the node; without its network, in the host's."""
    first = process()
    if not first:
        raise Failure("no cluster of ours is up")
    return ["nsenter", "--target", str(first.pid), "--mount", "--pid", *(["--net"] if network else [])]


def inside(*command: str | Path, network: bool = True, timeout: float = 600) -> str:
    """Run a command in the node to its end."""
    return run(*entering(network=network), *command, timeout=timeout)


def serve(name: str, *command: str | Path) -> None:
    """Start a server in the node; it ends with the node."""
    log = paths.state() / "log" / f"{name}.log"
    log.parent.mkdir(exist_ok=True)
    subprocess.run(
        [
            "setsid",
            "--fork",
            *entering(),
            "sh",
            "-c",
            _COMPONENT,
            name,
            str(log),
            str(_exited(name)),
            *map(str, command),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )


def ended() -> list[str]:
    """The servers that are no more."""
    return sorted(file.name.removesuffix(".exited") for file in (paths.state() / "log").glob("*.exited"))


def check_servers() -> None:
    """Fail with the log of a server that has ended, instead of waiting for it."""
    for name in ended():
        log = (paths.state() / "log" / f"{name}.log").read_text(errors="replace")
        raise Failure(f"{name} ended with {_exited(name).read_text().strip()}:\n{tail(log)}")


def _exited(name: str) -> Path:
    return paths.state() / "log" / f"{name}.exited"


def _connect(pid: int) -> None:
    run("ip", "link", "add", paths.LINK, "type", "veth", "peer", "name", "uplink", "netns", str(pid))
    bits = paths.LINK_NETWORK.partition("/")[2]
    inside("ip", "link", "set", "lo", "up")
    inside("ip", "address", "add", f"{paths.NODE_ADDRESS}/{bits}", "dev", "uplink")
    inside("ip", "link", "set", "uplink", "up")
    run("ip", "address", "add", f"{paths.HOST_ADDRESS}/{bits}", "dev", paths.LINK)
    run("ip", "link", "set", paths.LINK, "up")
    for network in (paths.POD_NETWORK, paths.SERVICE_NETWORK):
        run("ip", "route", "add", network, "via", paths.NODE_ADDRESS, "dev", paths.LINK)
    inside("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
    # The host may call pods, and gets its answers; no pod may call the host, where others have their servers.
    refuse = ("-m", "conntrack", "--ctstate", "NEW", "-j", "REJECT", "--reject-with", "icmp-admin-prohibited")
    inside("iptables", "-A", "FORWARD", "-s", paths.POD_NETWORK, "-o", "uplink", *refuse)


def _cgroups() -> list[Path]:
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.procs").exists():
        return [root / CGROUP]
    # Version 1 has a tree for each controller; some have two names, one a link to the other.
    trees = {tree.resolve() for tree in root.iterdir() if (tree / "cgroup.procs").exists()}
    return [tree / CGROUP for tree in sorted(trees)]


def _is_unlinked() -> bool:
    return not Path(f"/sys/class/net/{paths.LINK}").exists()


def _removed(cgroup: Path) -> bool:
    with contextlib.suppress(OSError):
        cgroup.rmdir()
    return not cgroup.exists()
