"""A cluster for tests: up, down, and what a test does with one.

Called by `__main__` (people, make, CI) and by ../conftest.py. A cluster that the caller already has, by
KUBECONFIG, is used as it is; else one is started on this machine, from nothing but Debian packages and Go.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.harness import (
    binaries,
    control_plane,
    dns,
    fake_nodes,
    images,
    keys,
    node,
    packages,
    paths,
    storage,
    training_operator,
    workers,
)
from tests.cluster.harness.removal import remove
from tests.cluster.harness.shell import Failure, locked, run, say, step, succeeds, wait

# A build, a cluster and the project's images together; a full disk shows itself in stranger ways.
FREE_GIB = 15

_MARK = ".rloop-cluster"
_UP = "up"


@dataclass(frozen=True)
class Cluster:
    """A running cluster: where its kubeconfig is, and whether it is one of ours."""

    kubeconfig: str
    own: bool

    @property
    def base_image(self) -> str:
        """What the project's Dockerfiles take as BASE_IMAGE, and test pods run."""
        return images.BASE if self.own else os.environ.get("RLOOP_BASE_IMAGE", "python:3.11-slim")

    @property
    def storage_class(self) -> str | None:
        """What a claim should name; nothing means the default of a cluster that is not ours."""
        return storage.CLASS if self.own else os.environ.get("RLOOP_STORAGE_CLASS")

    @property
    def program(self) -> str:
        """The kubectl that fits it."""
        return str(paths.state() / "bin" / "kubectl") if self.own else "kubectl"

    def kubectl(self, *words: str, stdin: str | None = None, timeout: float = 120) -> str:
        """Run kubectl as administrator and return what it prints."""
        return run(self.program, *words, stdin=stdin, env={"KUBECONFIG": self.kubeconfig}, timeout=timeout)

    def apply(self, *manifests: Mapping[str, Any]) -> None:
        """Apply manifests."""
        self.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests}))

    def get(self, *words: str) -> Any:
        """What `kubectl get ...` says, as an object."""
        return json.loads(self.kubectl("get", *words, "-o", "json"))

    def make_volumes(self, number: int, size: str = "1Gi") -> None:
        """Provide volumes for so many claims; other clusters have a provisioner that does."""
        if self.own:
            storage.make_volumes(number, size)

    def build_image(
        self,
        dockerfile: Path,
        tag: str,
        build_args: Mapping[str, str] | None = None,
        context: Path = paths.ROOT,
    ) -> None:
        """Build an image on top of our base image and load it. Refer to it with imagePullPolicy IfNotPresent."""
        if not self.own:
            raise Failure(f"build {tag} for the given cluster yourself, and load it there")
        with step(f"built {tag}"):
            images.build(dockerfile, tag, {"BASE_IMAGE": images.BASE, **(build_args or {})}, context)
        self.load_image(tag)

    def load_image(self, tag: str) -> None:
        """Make a built image known to the node."""
        if not self.own:
            raise Failure(f"load {tag} into the given cluster yourself")
        with step(f"loaded {tag}"):
            images.load(tag)

    def name_image(self, known: str, name: str) -> None:
        """Give an image of our own node a further name."""
        if not self.own:
            raise Failure(f"give {known} the name {name} in the given cluster yourself")
        node.inside(*workers.ctr(), "images", "tag", "--force", known, name)

    def load_archive(self, archive: Path) -> None:
        """Make the image in an archive known to the node."""
        if not self.own:
            run("kind", "load", "image-archive", archive)
            return
        with step(f"loaded {archive.name}"):
            images.load_archive(archive)

    def install_training_operator(self) -> None:
        """Make sure that PyTorchJobs are known and run; another cluster's owner has done it."""
        if not self.own:
            if not succeeds("kubectl", "get", "crd", training_operator.CRD, env={"KUBECONFIG": self.kubeconfig}):
                raise Failure("install the Kubeflow training operator v1 in the given cluster yourself")
            return
        with locked(paths.cache() / "lock"):
            # A cluster that an older checkout has started may lack it.
            binaries.build()
            training_operator.install()

    def add_fake_nodes(
        self, number: int, labels: Mapping[str, str] | None = None, capacity: Mapping[str, str] | None = None
    ) -> list[str]:
        """Make nodes without a machine, see `fake_nodes`, with these labels and resources; returns their names.

        Two tests at a time would use each other's: give them a label of your own, and select it.
        """
        if not self.own:
            raise Failure("fake nodes are made only in a cluster of our own")
        with locked(paths.cache() / "lock"):
            binaries.build()
            return fake_nodes.add(number, labels or {}, capacity or {})

    def remove_fake_nodes(self, names: Iterable[str]) -> None:
        """Remove them, with the pods that are on them."""
        fake_nodes.remove(*names)


def up() -> Cluster:
    """Start a cluster, or find that there is one."""
    if given := paths.given_kubeconfig():
        say(f"using the cluster of KUBECONFIG={given}")
        if not succeeds("kubectl", "get", "--raw", "/readyz"):
            raise Failure(f"the cluster of KUBECONFIG={given} does not respond")
        return Cluster(given, own=False)
    packages.check_host()
    cluster = Cluster(str(paths.kubeconfig()), own=True)
    with locked(paths.cache() / "lock"):
        if _is_up():
            say(f"already up: {paths.state()}")
            return cluster
        if left := _remains():
            dead = f" ({', '.join(node.ended())} ended)" if node.ended() else ""
            say(f"removing what an earlier cluster left in {left[0]}{dead}")
            _clear()
        for place in (paths.cache(), paths.state().parent):
            place.mkdir(parents=True, exist_ok=True)
            binaries.require_space(place, FREE_GIB)
        packages.install()
        node.check_machine()
        binaries.build()
        with step("the cluster is up"):
            try:
                _start()
            except BaseException:
                # The logs stay, until the next up or down.
                node.stop()
                raise
    return cluster


def current() -> Cluster:
    """The cluster there is, without starting one."""
    if given := paths.given_kubeconfig():
        return Cluster(given, own=False)
    if not (paths.state() / _UP).exists() or not node.process():
        raise Failure("no cluster is up")
    return Cluster(str(paths.kubeconfig()), own=True)


def down() -> None:
    """Stop what up started and remove it; a given cluster is left alone."""
    if given := paths.given_kubeconfig():
        say(f"the cluster of KUBECONFIG={given} is not ours, and stays as it is")
        return
    with locked(paths.cache() / "lock"):
        if not _remains():
            say("nothing is up")
            return
        with step("the cluster is down"):
            _clear()


def why_not() -> str | None:
    """Why no cluster can be had here, in one line; nothing where one can be tried."""
    if paths.given_kubeconfig():
        return None
    try:
        packages.check_host()
    except Failure as reason:
        return str(reason)
    if binaries.missing() and not shutil.which("go"):
        return "no cluster: neither KUBECONFIG is set nor is Go installed to build one"
    return None


def _is_up() -> bool:
    running = (paths.state() / _UP).exists() and node.process() is not None
    return running and not node.ended() and control_plane.answers()


def _start() -> None:
    folder = paths.state()
    # It holds the keys of the cluster.
    folder.mkdir(mode=0o700)
    (folder / _MARK).touch()
    programs = folder / "bin"
    binaries.link(programs)
    keys.make()
    node.start()
    workers.start_containerd()
    with step("started the control plane"):
        control_plane.start(programs)
    with step("loaded the pods' sandbox image"):
        images.load_pause()
    workers.start_kubelet(programs)
    dns.start(programs)
    storage.make_class()
    images.load_base()
    with step("the node is ready and names resolve"):
        wait("a ready node", _node_is_ready, seconds=90)
        wait("the name service", _names_resolve, seconds=60)
    (folder / _UP).touch()


def _clear() -> None:
    folder = paths.state()
    if folder.exists():
        # An empty one is what a crash between two lines of _start leaves.
        if not (folder / _MARK).exists() and any(folder.iterdir()):
            raise Failure(f"{folder} is no state directory of ours: remove it yourself, or set RLOOP_CLUSTER_DIR")
        node.stop()
        # Out of the way in one step, so that an interrupted removal leaves no half of a cluster.
        folder.rename(Path(tempfile.mkdtemp(prefix=_removing(), dir=folder.parent)) / folder.name)
    for doomed in _remains():
        mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        if inside := [place for place in mounted if Path(place).is_relative_to(doomed)]:
            raise Failure(f"not removing {doomed}: {inside[0]} is mounted there, not by this harness")
        remove(doomed)


def _remains() -> list[Path]:
    folder = paths.state()
    return [*([folder] if folder.exists() else []), *folder.parent.glob(f"{_removing()}*")]


def _removing() -> str:
    return f".{paths.state().name}-removing-"


def _node_is_ready() -> bool:
    node.check_servers()
    jsonpath = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
    command = (*control_plane.kubectl(), "get", "node", paths.NODE_NAME, "--ignore-not-found", "-o", jsonpath)
    return run(*command) == "True"


def _names_resolve() -> bool:
    node.check_servers()
    return dns.answers()
