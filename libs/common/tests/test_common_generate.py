"""What is generated from the catalogue is in the repository as it should be, and drift is told in a line."""

import json
from pathlib import Path

import pytest

from groundswell.common.generate import drift, graph, main, schemas, topics_page, write
from groundswell.common.topics import CATALOGUE, physical_topics

ROOT = Path(__file__).parents[3]


def test_the_committed_files_are_what_the_catalogue_says() -> None:
    assert drift(ROOT) == []


def test_the_page_names_every_topic_its_payloads_and_its_dead_letters() -> None:
    page = topics_page()
    for topic in CATALOGUE:
        assert f"### `{topic.name}`" in page
        assert all(f"`{payload.type_name()}`" in page for payload in topic.payloads)
    dead = [topic.name for topic in physical_topics() if topic.name.endswith(".dlq")]
    assert all(f"`{name}`" in page for name in dead)


def test_the_graph_says_who_sends_what_to_whom() -> None:
    assert '"cmd.retrieve-passages": [\n        "orchestrator"\n      ]' in graph()


def test_every_payload_has_its_schema() -> None:
    found = json.loads(schemas())
    assert set(found) == {payload.type_name() for topic in CATALOGUE for payload in topic.payloads}
    assert found["RetrievePassages"]["properties"]["max_passages"]["default"] == 5


def test_generating_twice_changes_nothing(tmp_path: Path) -> None:
    write(tmp_path)
    assert main(["--check", str(tmp_path)]) == 0
    assert main([str(tmp_path)]) == 0
    assert drift(tmp_path) == []


def test_drift_is_told_in_one_line_for_each_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path)
    page = tmp_path / "docs" / "topics.md"
    page.write_text(page.read_text().replace("| partitions | 4 |", "| partitions | 5 |", 1))
    assert main(["--check", str(tmp_path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "docs/topics.md: -| partitions | 5 |; run `make generate` and commit what it writes"


def test_a_missing_file_is_drift(tmp_path: Path) -> None:
    assert main(["--check", str(tmp_path)]) == 1
