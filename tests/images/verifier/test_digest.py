"""The digest that operator and verifier share, and the folder that the verifier computes it over."""

from hashlib import sha256
from pathlib import Path

import pytest

from rloop.api.digest import manifest_digest
from rloop_verifier.folders import copy_folder, folder_digest

EMPTY = sha256(b"").hexdigest()


def test_the_definition() -> None:
    lines = f"{EMPTY}  - a/b.py\n{EMPTY}  x run.sh\n"
    assert (
        manifest_digest({"run.sh": (EMPTY, True), "a/b.py": (EMPTY, False)})
        == sha256(lines.encode()).hexdigest()
    )
    assert manifest_digest({}) == EMPTY


def test_a_line_break_in_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="line break"):
        manifest_digest({f"a\n{EMPTY}  - b": (EMPTY, False)})


def test_a_folder_is_its_regular_files(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "sub" / "empty").mkdir(parents=True)
    (folder / "run.sh").write_text("echo\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "sub" / "ü.py").write_bytes(b"")
    (folder / "link").symlink_to("/etc/hostname")
    (folder / "sub" / "folder-link").symlink_to("..")
    expected = manifest_digest({"run.sh": (sha256(b"echo\n").hexdigest(), True), "sub/ü.py": (EMPTY, False)})
    assert folder_digest(folder) == expected
    copy_folder(folder, tmp_path / "copy")
    assert folder_digest(tmp_path / "copy") == expected
    assert not (tmp_path / "copy" / "link").exists()
