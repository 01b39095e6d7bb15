"""Images without a registry and without a daemon: built by buildah, handed to containerd as archives.

Used by `cluster`. Everything runs in the node, so that no mount of a build outlives the cluster, but with the
host's network, because builds install packages. The base image stands for a public python-slim image; it is made
once from Debian packages and kept as an archive in the cache, by the hash of its recipe.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.cluster.harness import node, packages, paths, workers
from tests.cluster.harness.removal import remove
from tests.cluster.harness.shell import Failure, run, step, write

BASE = "rloop.test/python:3.11"
PUBLIC = ("docker.io/library/python:3.11-slim-bookworm",)
"""The public images that the base image stands for: the same Debian, and all that examples and tests use of them.
The node knows it under these names too, so that it runs the very manifests that any other cluster runs."""
_SUITE = "bookworm"
# python3-venv brings pip, without the compiler that python3-pip would bring.
_PACKAGES = "python3,python3-venv,ca-certificates"
_TRIM = ("usr/share/doc/*", "usr/share/man/*", "usr/share/locale/*", "var/cache/apt/*", "var/lib/apt/lists/*")
_BASE_FILE = """
FROM scratch
ADD rootfs.tar /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
CMD ["python3"]
"""

# The process that holds a pod's namespaces has nothing to do.
_PAUSE_FILE = """
FROM scratch
COPY busybox /bin/busybox
USER 65535:65535
ENTRYPOINT ["/bin/busybox", "sleep", "infinity"]
"""

_CERTIFICATES = Path("/etc/ssl/certs")


def build(file: Path, tag: str, arguments: Mapping[str, str], context: Path) -> None:
    """Build an image; its steps see the host's certificates, for machines behind a proxy with its own."""
    words: list[str | Path] = ["build", "--layers", "--file", file, "--tag", tag]
    if (_CERTIFICATES / "ca-certificates.crt").exists():
        words += ["--volume", f"{_CERTIFICATES}:{_CERTIFICATES}:ro"]
    for name, value in arguments.items():
        words += ["--build-arg", f"{name}={value}"]
    buildah(*words, context)


def load(tag: str) -> None:
    """Hand a built image to containerd."""
    archive = _folder() / f"{hashlib.sha256(tag.encode()).hexdigest()[:16]}.tar"
    archive.unlink(missing_ok=True)
    try:
        buildah("push", tag, f"docker-archive:{archive}:{tag}")
        load_archive(archive)
    finally:
        archive.unlink(missing_ok=True)


def load_archive(archive: Path) -> None:
    """Hand an image in an archive (as docker save writes it) to containerd."""
    node.inside(*workers.ctr(), "images", "import", archive.absolute())


def buildah(*words: str | Path) -> str:
    """Run buildah on our own store of images."""
    store = ("--root", _folder() / "store", "--runroot", _folder() / "run", "--storage-driver", "overlay")
    scratch = _folder() / "scratch"
    scratch.mkdir(exist_ok=True)
    settings = ("env", "BUILDAH_ISOLATION=chroot", f"TMPDIR={scratch}")
    return node.inside(*settings, "buildah", *store, *words, network=False, timeout=1800)


def load_pause() -> None:
    """The image that kubelet starts for each pod, before any of the pod's own."""
    context = _folder() / "pause"
    context.mkdir(parents=True)
    shutil.copy(packages.busybox(), context / "busybox")
    build(write(context / "Dockerfile", _PAUSE_FILE), workers.PAUSE, {}, context)
    load(workers.PAUSE)


def load_base() -> None:
    """Put the base image where builds and pods find it, making it if this machine never has."""
    archive = _base_archive()
    if not archive.exists():
        with step(f"made the base image {BASE}"):
            _make_base(archive)
    with step(f"loaded the base image {BASE} ({archive.stat().st_size / 1e6:.0f} MB)"):
        buildah("pull", f"docker-archive:{archive}")
        load_archive(archive)
        name_base()


def name_base() -> None:
    """Give the loaded base image its public names."""
    for name in PUBLIC:
        node.inside(*workers.ctr(), "images", "tag", "--force", BASE, name)
        buildah("tag", BASE, name)


def _base_archive() -> Path:
    recipe = repr((_SUITE, _PACKAGES, _TRIM, _BASE_FILE))
    return paths.cache() / "images" / f"base-{hashlib.sha256(recipe.encode()).hexdigest()[:24]}.tar"


def _make_base(archive: Path) -> None:
    archive.parent.mkdir(exist_ok=True)
    context = Path(tempfile.mkdtemp(prefix="base-", dir=_folder()))
    try:
        root = context / "root"
        # In namespaces of its own: what debootstrap mounts, or leaves running, ends with it.
        apart = ("unshare", "--mount", "--pid", "--fork", "--mount-proc")
        run(*apart, "debootstrap", "--variant=minbase", f"--include={_PACKAGES}", _SUITE, root, timeout=1800)
        for pattern in _TRIM:
            for path in root.glob(pattern):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        # As in the public images.
        (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
        run("tar", "--numeric-owner", "-C", root, "-cf", context / "rootfs.tar", ".")
        remove(root)
        build(write(context / "Dockerfile", _BASE_FILE), BASE, {}, context)
        part = context / "image.tar"
        buildah("push", BASE, f"docker-archive:{part}:{BASE}")
        # The cache may be on another disk, and what lies in it is complete.
        landing = archive.with_suffix(".part")
        shutil.copyfile(part, landing)
        landing.rename(archive)
    finally:
        remove(context)


def _folder() -> Path:
    folder = paths.state() / "images"
    if not paths.state().is_dir():
        raise Failure("no cluster of ours is up")
    folder.mkdir(exist_ok=True)
    return folder
