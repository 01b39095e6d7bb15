"""The programs of the cluster, built from pinned sources: each folder of ../tools is a Go tool module.

Called by `cluster.up`. No distribution packages these programs, and a registry of images cannot be assumed,
but Go modules can be had wherever Go can, and go.sum pins every byte of them. What a module's go.mod and
go.sum say is also the key of the cache: a folder that is there is complete, and never written again.
"""

import hashlib
import os
import re
import shutil
import tempfile
import time
from pathlib import Path

from tests.cluster.harness import paths
from tests.cluster.harness.removal import remove
from tests.cluster.harness.shell import Failure, run, say

# Order: the longest first, so that its failure is not waited for. The last ones are used only by tests that ask for
# them, but one build for all of them shares most of what it compiles.
MODULES = ("kubernetes", "helm", "coredns", "kwok", "training-operator", "etcd")

# Go names a program after the last word of its path.
RENAMED = {"server": "etcd", "training-operator.v1": "training-operator"}

# Kept beside the programs of a module, because the module's sources are removed after the build: a folder of theirs.
KEPT = {"training-operator": ("github.com/kubeflow/training-operator", "manifests")}

# The compiler's cache of a full build is some GB, thrown away afterwards.
BUILD_GIB = 8

MONTH = 30 * 24 * 3600


def key(module: str) -> str:
    """The hash of all that decides what is built, our own flags included."""
    content = hashlib.sha256(" ".join((*_flags(module), *KEPT.get(module, ()))).encode())
    for name in ("go.mod", "go.sum"):
        content.update((paths.TOOLS / module / name).read_bytes())
    return content.hexdigest()[:24]


def version(module: str) -> str:
    """The pinned version of the module's (first) tool."""
    text = (paths.TOOLS / module / "go.mod").read_text()
    tools = re.findall(r"^(?:tool |\t)(\S+)$", text, re.MULTILINE)
    for path, found in re.findall(r"^(?:require |\t)(\S+) (v\S+)", text, re.MULTILINE):
        if any(f"{tool}/".startswith(f"{path}/") for tool in tools):
            return str(found)
    raise Failure(f"{module}/go.mod requires none of its tools")


def folder(module: str) -> Path:
    """Where the built programs of a module lie, or will."""
    return paths.cache() / "bin" / f"{module}-{key(module)}"


def missing() -> list[str]:
    """The modules that have to be built first."""
    return [module for module in MODULES if not folder(module).is_dir()]


def build() -> None:
    """Build what is missing, one module after the other (each uses all cores itself)."""
    modules = missing()
    if not modules:
        return
    if not shutil.which("go"):
        raise Failure("Go is needed to build the cluster's programs (or set KUBECONFIG to a cluster you have)")
    paths.cache().mkdir(parents=True, exist_ok=True)
    # What an interrupted build has left. The caller holds the lock, so nobody is using it.
    for left in paths.cache().glob("build-*"):
        remove(left)
    require_space(paths.cache(), BUILD_GIB)
    # Compiled packages and sources are shared by the modules of one build and removed with it.
    scratch = Path(tempfile.mkdtemp(prefix="build-", dir=paths.cache()))
    try:
        for module in modules:
            begin = time.monotonic()
            _build(module, scratch)
            size = sum(file.stat().st_size for file in _programs(module)) / 1e6
            say(f"built {module} {version(module)} ({time.monotonic() - begin:.0f} s, {size:.0f} MB)")
        used = sum(file.lstat().st_size for file in scratch.rglob("*") if not file.is_dir()) / 1e9
        say(f"removing {used:.1f} GB that only the build needed")
    finally:
        remove(scratch)


def link(to: Path) -> None:
    """One folder with all programs, to be put in front of PATH. What nobody has used for a month is dropped."""
    to.mkdir(parents=True, exist_ok=True)
    for other in folder(MODULES[0]).parent.iterdir():
        if other.stat().st_mtime < time.time() - MONTH:
            remove(other)
    for module in MODULES:
        os.utime(folder(module))
        for program in _programs(module):
            (to / program.name).symlink_to(program)


def require_space(at: Path, gib: float) -> None:
    """Fail early, with the number, rather than late with a full disk."""
    free = shutil.disk_usage(at).free / 2**30
    if free < gib:
        raise Failure(f"{at} has {free:.1f} GiB free, {gib:.0f} GiB are needed")


def _programs(module: str) -> list[Path]:
    return [file for file in folder(module).iterdir() if file.is_file()]


def _flags(module: str) -> list[str]:
    # -s -w: no debugging symbols, a third of the size.
    linker = "-s -w"
    if module == "kubernetes":
        # Without these the API server calls itself v0.0.0, and clients believe it.
        prefix = "-X k8s.io/component-base/version"
        full = version(module)
        major, minor, _ = full[1:].split(".")
        linker += f" {prefix}.gitVersion={full} {prefix}.gitMajor={major} {prefix}.gitMinor={minor}"
    return ["-trimpath", f"-ldflags={linker}"]


def _build(module: str, scratch: Path) -> None:
    output, work = scratch / module, scratch / "work"
    output.mkdir()
    work.mkdir(exist_ok=True)
    env = {
        "CGO_ENABLED": "0",
        "GOCACHE": str(scratch / "compiled"),
        "GOMODCACHE": str(scratch / "modules"),
        "GOTMPDIR": str(work),
        # The module cache is read-only by default, and then cannot be removed plainly.
        "GOFLAGS": "-modcacherw -mod=readonly",
        "GOWORK": "off",
    }
    say(f"building {module} {version(module)}, once for this version (minutes)")
    # "tool" means all tools that go.mod names.
    run("go", "build", *_flags(module), "-o", f"{output}/", "tool", cwd=paths.TOOLS / module, env=env, timeout=3600)
    for old, new in RENAMED.items():
        if (output / old).exists():
            (output / old).rename(output / new)
    if module in KEPT:
        source, kept = KEPT[module]
        sources = run("go", "list", "-m", "-f", "{{.Dir}}", source, cwd=paths.TOOLS / module, env=env).strip()
        shutil.copytree(Path(sources, kept), output / kept)
    folder(module).parent.mkdir(parents=True, exist_ok=True)
    output.rename(folder(module))
