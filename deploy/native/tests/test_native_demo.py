"""The demo's corpus."""

from collections.abc import Iterator
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

import pytest

from groundswell.native import demo

LONG = "All of this can be asked about. " * 20


@pytest.mark.parametrize(
    ("declared", "suffix"),
    [
        ("text/markdown; charset=UTF-8; variant=GFM", ".md"),
        ("text/x-rst", ".rst"),
        ("text/plain", ".txt"),
        ("", ".rst"),
        ("application/weird", ".txt"),
    ],
)
def test_a_readme_is_named_by_its_declared_type(declared: str, suffix: str) -> None:
    assert demo.suffix_of(declared) == suffix


def test_own_documents_and_readmes_are_collected(tmp_path: Path) -> None:
    checkout = _checkout(tmp_path)
    collected = demo.collect(checkout, tmp_path / "corpus", _packages(tmp_path, {"Some.Package": LONG, "tiny": "x"}))
    names = {path.name for path in collected.folder.iterdir()}
    assert names == {"groundswell-ARCHITECTURE.md", "groundswell-docs-decisions-0001-a.md", "some-package.md"}
    assert collected.documents == 3
    assert (collected.folder / "some-package.md").read_text().startswith("All of this")


def test_pages_that_show_the_answers_of_the_demo_are_no_documents_of_it(tmp_path: Path) -> None:
    names = {name for name, _ in demo.own_documents(_checkout(tmp_path))}
    assert not names & {"groundswell-README.md", "groundswell-docs-bench-README.md"}


def test_a_second_collection_touches_only_what_changed(tmp_path: Path) -> None:
    checkout, corpus = _checkout(tmp_path), tmp_path / "corpus"
    demo.collect(checkout, corpus, _packages(tmp_path, {"one": LONG, "two": LONG}))
    before = {path.name: path.stat().st_mtime_ns for path in corpus.iterdir()}
    demo.collect(checkout, corpus, _packages(tmp_path, {"one": LONG + "More."}))
    after = {path.name: path.stat().st_mtime_ns for path in corpus.iterdir()}
    assert set(before) - set(after) == {"two.md"}
    assert {name for name in after if after[name] != before[name]} == {"one.md"}


def test_this_environment_has_about_a_hundred_documents_of_other_people(tmp_path: Path) -> None:
    collected = demo.collect(Path(__file__).parents[3], tmp_path / "corpus")
    assert collected.documents >= 80


def _checkout(tmp_path: Path) -> Path:
    checkout = tmp_path / "checkout"
    (checkout / "docs" / "decisions").mkdir(parents=True)
    (checkout / "docs" / "bench").mkdir()
    for shown in (checkout / "README.md", checkout / "docs" / "bench" / "README.md"):
        shown.write_text('$ groundswell ask "What?"')
    (checkout / "ARCHITECTURE.md").write_text("# Architecture")
    (checkout / "docs" / "decisions" / "0001-a.md").write_text("# A decision")
    return checkout


def _packages(tmp_path: Path, readmes: dict[str, str]) -> Iterator[Distribution]:
    for name, text in readmes.items():
        folder = tmp_path / "packages" / f"{name}.dist-info"
        folder.mkdir(parents=True, exist_ok=True)
        head = f"Metadata-Version: 2.4\nName: {name}\nVersion: 1\nDescription-Content-Type: text/markdown\n\n"
        (folder / "METADATA").write_text(head + text)
        yield PathDistribution(folder)
