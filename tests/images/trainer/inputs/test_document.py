"""How the recipe's file is read."""

from pathlib import Path

import pytest

from rloop_trainer.inputs.document import Unreadable, read


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("r.yaml", "", "is not a mapping; write keys and values"),
        ("r.yaml", "- a\n", "is not a mapping"),
        ("r.yaml", "a: [1\nb: 2\n", "is not valid YAML: line 2, column 2: "),
        ("r.yaml", "a: 1\n\tb: 2\n", "is not valid YAML: line 2, column 1: "),
        ("r.yaml", "a: \x01\n", "contains a character that YAML forbids"),
        ("r.yaml", "a: 1\nb: 2\na: 3\n", 'line 3: "a" occurs twice; remove one'),
        ("r.yaml", "a: {b: 1, b: 2}\n", 'line 1: "b" occurs twice; remove one'),
        ("r.yaml", "a: 2024-13-45\n", "contains a value that cannot be read: month must be in 1..12"),
        ("r.yaml", f"a: {'9' * 5000}\n", "contains a value that cannot be read: Exceeds the limit"),
        ("r.yaml", "[" * 2000, "is nested too deep"),
        ("r.yaml", "a: !!python/object:os.system {}\n", "is not valid YAML: line 1, column 4: could not determine"),
        ("r.json", "{", "is not valid JSON: line 1, column 2: "),
        ("r.json", "a: 1\n", "is not valid JSON: line 1, column 1: "),
        ("r.json", "[1]", "is not a mapping"),
        ("r.json", '{"a": {"b": 1, "b": 2}}', '"b" occurs twice in one mapping; remove one'),
        ("r.json", "[" * 100_000, "is nested too deep"),
        ("r.json", f'{{"a": {"9" * 5000}}}', "contains a value that cannot be read: Exceeds the limit"),
    ],
)
def test_why_a_file_cannot_be_read(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(Unreadable) as caught:
        read(tmp_path / name)
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("gone.yaml", "there is no such file"),
        ("folder", "is a folder; name the file in it"),
        ("latin.yaml", "is not UTF-8; save it as UTF-8"),
        ("latin.yaml/inner.yaml", "cannot be read (Not a directory)"),
    ],
)
def test_why_there_is_no_file(tmp_path: Path, name: str, sentence: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9\n")
    with pytest.raises(Unreadable) as caught:
        read(tmp_path / name)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    "text", ["\ufeffa: {b: 1}\n", "base: &b {b: 1}\na: {<<: *b}\n", "a:\n  b: 1\n", "%YAML 1.1\n---\na: {b: 1}\n"]
)
def test_what_is_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.yaml").write_text(text, encoding="utf-8")
    assert read(tmp_path / "r.yaml")["a"] == {"b": 1}
