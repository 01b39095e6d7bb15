"""The digest that operator and verifier share, and the folder that the verifier computes it over."""

import os
from hashlib import sha256
from pathlib import Path

from rloop.api.digest import manifest_digest
from rloop_verifier.folders import copy_folder, folder_digest

EMPTY = sha256(b"").hexdigest()


def test_the_definition_is_what_sha256sum_prints() -> None:
    lines = f"{EMPTY}  a/b.py\n{EMPTY}  run.sh\n"
    assert manifest_digest({b"run.sh": EMPTY, b"a/b.py": EMPTY}) == sha256(lines.encode()).hexdigest()
    assert manifest_digest({}) == EMPTY


def test_a_line_break_in_a_name_cannot_stand_for_another_file() -> None:
    assert manifest_digest({b"a\n" + EMPTY.encode() + b"  b": EMPTY}) != manifest_digest({b"a": EMPTY, b"b": EMPTY})


def test_a_folder_is_its_regular_files(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "sub" / "empty").mkdir(parents=True)
    (folder / "run.sh").write_text("echo\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "sub" / "ü.py").write_bytes(b"")
    (folder / "link").symlink_to("/etc/hostname")
    (folder / "sub" / "folder-link").symlink_to("..")
    expected = manifest_digest({b"run.sh": sha256(b"echo\n").hexdigest(), "sub/ü.py".encode(): EMPTY})
    assert folder_digest(folder) == expected
    copy_folder(folder, tmp_path / "copy")
    assert folder_digest(tmp_path / "copy") == expected
    assert not (tmp_path / "copy" / "link").exists()
    assert os.access(tmp_path / "copy" / "run.sh", os.X_OK)
