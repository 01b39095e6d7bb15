"""What is shipped is exactly what is meant: wheel, source archive, locks."""

import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {"rloop", "rloop_agent", "rloop_operator", "rloop_sidecar", "rloop_trainer", "rloop_verifier"}
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def build(target: str, folder: Path) -> Path:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (built,) = folder.iterdir()
    return built


def test_the_wheel_holds_the_packages_and_nothing_else(tmp_path: Path) -> None:
    files = zipfile.ZipFile(build("wheel", tmp_path)).namelist()
    tops = {name.split("/")[0] for name in files}
    assert {top for top in tops if not top.endswith(".dist-info")} == PACKAGES
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(files)
    assert [name for name in files if "__pycache__" in name or "test_" in name] == []


def test_the_source_archive_holds_what_the_wheel_is_built_from(tmp_path: Path) -> None:
    with tarfile.open(build("sdist", tmp_path)) as archive:
        files = [name.partition("/")[2] for name in archive.getnames()]
    tops = {name.split("/")[0] for name in files}
    assert tops <= {
        ".gitignore",
        "CHANGELOG.md",
        "LICENSE",
        "PKG-INFO",
        "README.md",
        "controllers",
        "crds",
        "images",
        "operator",
        "pyproject.toml",
    }
    assert {"controllers", "images", "operator", "pyproject.toml", "LICENSE"} <= tops
    assert [name for name in files if "__pycache__" in name] == []


def test_the_expected_locks_exist() -> None:
    assert {lock.stem for lock in LOCKS} >= {"base", "dev", "agent", "operator", "sidecar", "verifier"}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_pins_by_hash_and_names_no_address(lock: Path) -> None:
    text = lock.read_text()
    # No index, no mirror, no direct reference: where packages come from is the installer's business.
    assert re.findall(r"\S*://\S*|^\s*-(?!-hash=)\S+|^\S+ @ .*", text, re.MULTILINE) == []
    pins = re.findall(r"^([a-z0-9][\w.-]*)==", text, re.MULTILINE)
    unhashed = [
        entry.split("==")[0]
        for entry in re.split(r"\n(?=[a-z0-9])", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
        if "--hash=sha256:" not in entry
    ]
    assert pins
    assert unhashed == []


def test_each_lock_may_be_installed_over_another() -> None:
    """A package that stands in two locks has the same versions in both; few have packages of their own."""

    def pinned(lock: Path) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for name, version in re.findall(r"^([a-z0-9][\w.-]*)==([^\s;\\]+)", lock.read_text(), re.MULTILINE):
            found.setdefault(name, set()).add(version)
        return found

    largest = pinned(ROOT / "requirements/dev.txt")
    for lock in LOCKS:
        own = pinned(lock)
        assert {name: versions - largest[name] for name, versions in own.items() if name in largest} == {
            name: set() for name in own if name in largest
        }, lock.name
        assert lock.name in {"trainer.txt", "search.txt", "model.txt", "model-small.txt"} or set(own) <= set(largest), (
            lock.name
        )


def test_the_base_lock_can_install_the_package_itself() -> None:
    # The editable install runs without an index, so the builder has to be there already.
    assert re.search(r"^hatchling==", (ROOT / "requirements/base.txt").read_text(), re.MULTILINE)
