"""Folders and files: the traps of several source roots, and the promises a reader relies on."""

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE_ROOTS = ["controllers", "operator", *sorted(f"images/{p.name}" for p in (ROOT / "images").iterdir())]
MAX_LINES = 300
MAX_FILES = 14
"""About a dozen: a reader remembers what is in a folder."""


def repository_files(*suffixes: str) -> list[Path]:
    """Tracked files and those about to be: a mistake is found before it is committed."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    paths = [ROOT / name for name in listed.split("\0") if name]
    return [p for p in paths if p.is_file() and (not suffixes or p.suffix in suffixes)]


def under(*folders: str) -> list[Path]:
    return [p for p in repository_files(".py") if p.relative_to(ROOT).as_posix().startswith(folders)]


def names(paths: list[Path]) -> list[str]:
    return [p.relative_to(ROOT).as_posix() for p in paths]


@pytest.mark.parametrize("root", [*SOURCE_ROOTS, "images"])
def test_a_source_root_holds_packages_but_is_none(root: str) -> None:
    # operator/__init__.py would shadow the standard library's operator for each python -m from the root;
    # operator/foo.py would be importable as foo, and no tool would complain.
    assert names(sorted((ROOT / root).glob("*.py*"))) == []


def test_there_are_no_packages_under_tests() -> None:
    # tests/operator/__init__.py alone puts a false operator into pytest's sys.modules.
    assert names(sorted((ROOT / "tests").rglob("__init__.py"))) == []


def test_operator_is_the_standard_librarys_when_started_from_the_root() -> None:
    code = "import operator, rloop_operator, pathlib; print(pathlib.Path(operator.__file__).parent)"
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()
    assert not Path(shown).is_relative_to(ROOT / "operator")
    assert Path(shown) == Path(ast.__file__).parent


def test_no_module_is_imported_by_the_path_of_its_folder() -> None:
    # `import controllers.rloop` works from the root and loads a second copy, with classes equal to none.
    wrong = re.compile(r"^\s*(?:from|import)\s+(?:controllers|operator|images)\.", re.MULTILINE)
    assert names([p for p in repository_files(".py") if wrong.search(p.read_text())]) == []


def test_every_file_says_what_it_is_for() -> None:
    silent = [
        p
        for p in repository_files(".py")
        if not p.is_relative_to(ROOT / "tests") and not ast.get_docstring(ast.parse(p.read_text()))
    ]
    assert names(silent) == []


def test_files_stay_short() -> None:
    sizes = {p: len(p.read_text().splitlines()) for p in under("controllers/", "operator/", "images/", "benchmarks/")}
    assert {p.relative_to(ROOT).as_posix(): n for p, n in sizes.items() if n >= MAX_LINES} == {}


SHIPPED = ("controllers/", "operator/", "images/", "benchmarks/")


def test_folders_stay_small() -> None:
    sizes = Counter(p.parent for p in under(*SHIPPED) if p.name not in ("__init__.py", "__main__.py"))
    wide = {folder.relative_to(ROOT).as_posix(): n for folder, n in sizes.items() if n > MAX_FILES}
    assert wide == {}, "a folder has room for about a dozen files: make rooms of it (AGENTS.md, Map)"


def test_no_two_modules_of_a_package_differ_by_a_plural() -> None:
    stems: dict[str, set[str]] = {}
    for path in under(*SHIPPED):
        package = next(one for one in path.parts if one.startswith("rloop") or one == "benchmarks")
        stems.setdefault(package, set()).add(path.stem)
    pairs = {package: [one for one in found if f"{one}s" in found] for package, found in stems.items()}
    assert {package: found for package, found in pairs.items() if found} == {}, "nobody remembers which is which"


def test_the_map_has_every_folder_and_no_other() -> None:
    rows = re.findall(r"^\| `([\w/]+)/(?:\*\.py)?` \|", (ROOT / "AGENTS.md").read_text(), re.MULTILINE)
    shells = ("controllers/rloop", "operator/rloop_operator")
    rooms = {p.parent.relative_to(ROOT).as_posix() for p in under(*shells) if p.stem != "__init__"}
    allowed = {"operator/rloop_operator/llm_proxy/dialects/allowed"}  # tables of the room above it
    assert rooms - set(rows) - allowed == set(), "AGENTS.md lacks a folder"
    assert {one for one in rows if not (ROOT / one).is_dir()} == set(), "AGENTS.md names a folder that is gone"


FOLDERS = "controllers|operator|images|tests|benchmarks|docs|helm|examples|decide|cluster|local"
NAMED_FILE = re.compile(rf"`((?:{FOLDERS})/[\w./-]+)`")
NAMED_MODULE = re.compile(r"`((?:rloop|rloop_\w+|benchmarks)(?:\.[a-z_]+)+)`")
NO_MODULE = re.compile(r"rloop\.(dev|test)\b")
"""Our API group, and a registry of examples."""


def test_files_and_modules_that_are_named_exist() -> None:
    roots = [ROOT, *(ROOT / one for one in [*SOURCE_ROOTS, "controllers/rloop", "operator/rloop_operator"])]

    def there(path: str) -> bool:
        return any((root / path).exists() for root in roots)

    def known(name: str) -> bool:
        """Whether it is a module, or something in one."""
        path, inner = name.replace(".", "/"), name.rpartition(".")[0].replace(".", "/")
        return any(there(one + end) for one in (path, inner) for end in ("", ".py")) or bool(NO_MODULE.match(name))

    gone = []
    for path in [*repository_files(".md"), *under(*SHIPPED)]:
        text = path.read_text()
        lost = [one for one in NAMED_FILE.findall(text) if not there(one)]
        lost += [one for one in NAMED_MODULE.findall(text) if not known(one)]
        gone += [f"{names([path])[0]}: {one}" for one in lost]
    assert not gone, "\n".join(["a document or docstring names what is not there:", *gone])


def programs(path: Path) -> Iterator[ast.Module]:
    """The programs that a file holds as text, for another process to run: no tool looks into them."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "rloop" in node.value:
            with suppress(SyntaxError):
                yield ast.parse(node.value)


def imported(program: ast.Module) -> Iterator[tuple[str, str]]:
    """Each import of ours as (module, what is taken from it; empty where the module itself is)."""
    for node in ast.walk(program):
        if isinstance(node, ast.Import):
            yield from ((one.name, "") for one in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, one.name) for one in node.names)


def importable(module: str, name: str) -> bool:
    for root in [ROOT, *(ROOT / one for one in SOURCE_ROOTS)]:
        base = root / module.replace(".", "/")
        found = [one for one in (base.with_suffix(".py"), base / "__init__.py") if one.is_file()]
        if found and (not name or (base / name / "__init__.py").is_file() or (base / f"{name}.py").is_file()):
            return True
        if any(re.search(rf"^[^\s#].*\b{name}\b", one.read_text(), re.MULTILINE) for one in found):
            return True
    return False


def test_what_programs_in_strings_import_is_there() -> None:
    ours = re.compile(r"(rloop(_\w+)?|benchmarks)(\.|$)")
    asked = [
        (path, module, name)
        for path in repository_files(".py")
        for program in programs(path)
        for module, name in imported(program)
        if ours.match(module)
    ]
    assert len(asked) > 10, "the search finds the programs that tests hold"
    gone = [f"{names([path])[0]}: {module} {name}" for path, module, name in asked if not importable(module, name)]
    assert not gone, "\n".join(["a program in a string imports what is not there:", *gone])


# Written in pieces, or this file would find itself.
MACHINE_PATH = re.compile(r"(?<![\w.$}{~-])/(?:" + "|".join(["wo" + "rk", "ro" + "ot", "ho" + "me"]) + r")/")
INDEX_HOST = re.compile("|".join([r"py" + r"pi\.org", r"python" + r"hosted\.org", r"--(?:extra-)?index-" + "url"]))


@pytest.mark.parametrize(
    ("what", "pattern"),
    [("a path of one machine", MACHINE_PATH), ("the host of a package index", INDEX_HOST)],
)
def test_nothing_names_one_machine_or_one_index(what: str, pattern: re.Pattern[str]) -> None:
    found = []
    for path in repository_files():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue  # an image or an archive
        found += [f"{names([path])[0]}: {what}: {hit.group()}" for hit in pattern.finditer(text)]
    assert found == []
