"""The Debian packages that the cluster and its images need, installed only where missing.

Called first by `cluster.up`. They are what no Go module can give: the container runtime (runc needs cgo), the
network plugins, the image builder, and small tools. Their versions come from the distribution.
"""

import os
import shutil
import sys
from pathlib import Path

from tests.cluster.harness.shell import Failure, run, step

# Program or file -> package. Any of the places of a file will do.
PROGRAMS = {
    "containerd": "containerd",
    "runc": "runc",
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "iptables": "iptables",
    "ip": "iproute2",
    "openssl": "openssl",
    "nsenter": "util-linux",
    "unshare": "util-linux",
}
PLUGIN_FOLDERS = ("/usr/lib/cni", "/opt/cni/bin")
BUSYBOX = ("/bin/busybox", "/usr/bin/busybox")


def check_host() -> None:
    """Say at once what can never work here."""
    if sys.platform != "linux":
        raise Failure("a cluster of our own needs Linux (or set KUBECONFIG to a cluster you have)")
    if os.geteuid() != 0:
        raise Failure("a cluster of our own needs root (or set KUBECONFIG to a cluster you have)")


def install() -> None:
    """Install what is missing, in one go."""
    # Programs of the administrator are not in everybody's PATH.
    os.environ["PATH"] = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"
    wanted = _missing()
    if not wanted:
        return
    if not shutil.which("apt-get"):
        raise Failure(f"please install: {', '.join(wanted)}")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    with step(f"installed {', '.join(wanted)}"):
        if _lists_are_absent():
            run("apt-get", "update", "-q", env=quiet)
        try:
            run("apt-get", "install", "-q", "-y", "--no-install-recommends", *wanted, env=quiet)
        except Failure:
            # Old lists name packages that are gone.
            run("apt-get", "update", "-q", env=quiet)
            run("apt-get", "install", "-q", "-y", "--no-install-recommends", *wanted, env=quiet)
    if still := _missing():
        raise Failure(f"installed, but not found: {', '.join(still)}")


def plugins() -> Path:
    """Where the network plugins lie."""
    return next(Path(folder) for folder in PLUGIN_FOLDERS if Path(folder, "ptp").exists())


def busybox() -> Path:
    """The statically linked busybox, which runs in an image that holds nothing else."""
    return next(Path(file) for file in BUSYBOX if Path(file).exists())


def _missing() -> list[str]:
    packages = {package for program, package in PROGRAMS.items() if not shutil.which(program)}
    if not any(Path(folder, "ptp").exists() for folder in PLUGIN_FOLDERS):
        packages.add("containernetworking-plugins")
    if not any(Path(file).exists() for file in BUSYBOX):
        packages.add("busybox-static")
    return sorted(packages)


def _lists_are_absent() -> bool:
    return not any(Path("/var/lib/apt/lists").glob("*_Packages*"))
