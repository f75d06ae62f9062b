"""Pages that walk a reader through the code name files and functions that are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page.relative_to(ROOT)
    for pattern in ("*.md", "docs/**/*.md", "libs/*/README.md", "services/*/README.md", "deploy/*/README.md")
    for page in ROOT.glob(pattern)
)
SOURCES = [
    path
    for folder in ("libs", "services", "deploy", "tests")
    for path in (ROOT / folder).rglob("*.py")
    if "__pycache__" not in path.parts
]
NAMED = re.compile(r"`([\w./]+\.py)(?::? ([\w.]+))?`")
LINKED = re.compile(r"\]\((?!https?:|#)([^)#]+)")
TARGET = re.compile(r"(?:`|\$ )make ([a-z]+)")


def files_called(path: str) -> list[Path]:
    return [source for source in SOURCES if source.as_posix().endswith(f"/{path}")]


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_file_and_function_that_a_page_names_is_there(page: Path) -> None:
    for path, name in NAMED.findall((ROOT / page).read_text(encoding="utf-8")):
        found = files_called(path)
        assert found, f"{page} names {path}"
        last = name.rpartition(".")[2]
        defined = rf"^\s*(?:(?:async )?def|class) {re.escape(last)}\b"
        texts = [source.read_text(encoding="utf-8") for source in found]
        assert not last or any(re.search(defined, text, re.MULTILINE) for text in texts), f"{page} names {path}: {name}"


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in LINKED.findall((ROOT / page).read_text(encoding="utf-8")):
        assert (ROOT / page.parent / target).exists(), f"{page} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_make_target_that_a_page_names_is_there(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in TARGET.findall((ROOT / page).read_text(encoding="utf-8")):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{page} names make {target}"
