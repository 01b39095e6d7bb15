"""What the README and the documents name exists."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
DOCUMENTS = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "AGENTS.md", "CHANGELOG.md", "examples/README.md")),
        *(path for folder in ("docs", "docs/adr", "examples/*", "images/*") for path in ROOT.glob(f"{folder}/*.md")),
    ]
)
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def tracked_folders() -> set[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return {path.split("/")[0] for path in listed.splitlines() if "/" in path and not path.startswith(".")}


def test_the_map_names_every_folder_and_no_other() -> None:
    rows = (ROOT / "AGENTS.md").read_text().split("## Map")[1].split("## Commands")[0].splitlines()
    places = [place for row in rows for place in re.findall(r"`([^`]+)`", row.split(" | ")[0])]
    # A place without a folder of its own is a sibling of the one before it.
    folders = {place.split("/")[0] for place in places if (ROOT / place.split("/")[0]).exists()}
    assert folders == tracked_folders()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_make_targets_that_are_named_exist(document: Path) -> None:
    assert set(re.findall(r"(?:^|`)make ([a-z][a-z-]*)", document.read_text(), re.MULTILINE)) <= TARGETS


def test_commands_that_are_shown_exist() -> None:
    shown = subprocess.run(
        [str(Path(sys.executable).with_name("rloop")), "--help"], check=True, capture_output=True, text=True
    ).stdout
    commands = set(re.findall(r"^  ([a-z]+)  ", shown.split("Commands:")[1], re.MULTILINE))
    named: set[str] = set()
    for document in DOCUMENTS:
        if document.name == "design.md" or document.parent.name == "adr":
            continue  # they also name what is to be built, or was rejected
        named |= set(re.findall(r"(?:^|`|bin/|&& )rloop ([a-z]+)", document.read_text(), re.MULTILINE))
    assert named
    assert named <= commands


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(document: Path) -> None:
    missing = []
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        name, _, anchor = target.partition("#")
        page = document.parent / name if name else document
        if "://" not in target and not (page.exists() and (not anchor or anchor in anchors(page))):
            missing.append(target)
    assert missing == []


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", one.lower()).strip().replace(" ", "-") for one in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_modules_that_are_named_exist(document: Path) -> None:
    for name in re.findall(r"-m (benchmarks\.\w+)", document.read_text()):
        module = ROOT / name.replace(".", "/")
        assert module.with_suffix(".py").exists() or (module / "__main__.py").exists(), name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_lines_fit_side_by_side_in_a_review(document: Path) -> None:
    if document.name == "crd-reference.md":
        return  # generated: a rule's message is one line
    prose = re.sub(r"^( *)```.*?^\1```", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    wide = [line for line in prose.splitlines() if len(line) > 100 and not line.lstrip().startswith("|")]
    # A link or a piece of code cannot be broken.
    assert [line for line in wide if " " in re.sub(r"`[^`]*`|\[[^]]*\]\([^)]*\)", "", line.strip())] == []


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 250
