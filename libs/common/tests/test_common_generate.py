"""What is generated from the catalogue is in the repository as it should be, and drift is told in a line."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from groundswell.common.generate import SCHEMAS, breaks, drift, graph, main, schemas, topics_page, write
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


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param(lambda s: s.pop("CheckText"), "CheckText is gone", id="payload-gone"),
        pytest.param(lambda s: s["CheckText"]["properties"].pop("text"), "CheckText.text is gone", id="field-gone"),
        pytest.param(
            lambda s: s["CheckText"]["properties"]["text"].update(type="integer"),
            "CheckText.text is of another type",
            id="field-retyped",
        ),
        pytest.param(
            lambda s: s["CheckText"]["properties"]["text"].update(maxLength=9),
            "CheckText.text is of another type",
            id="field-narrowed",
        ),
        pytest.param(
            lambda s: s["CheckText"]["required"].append("later"), "CheckText.later must be given", id="new-and-required"
        ),
        pytest.param(
            lambda s: s["AnswerCompleted"]["$defs"]["FinishReason"]["enum"].append("bored"),
            "AnswerCompleted/FinishReason has other values",
            id="new-value",
        ),
    ],
)
def test_a_change_that_is_not_additive_is_named(change: Change, told: str) -> None:
    before = json.loads(schemas())
    after = copy.deepcopy(before)
    change(after)
    assert told in breaks(before, after)


def test_new_payloads_and_fields_and_words_are_additive() -> None:
    before = json.loads(schemas())
    after = copy.deepcopy(before)
    after["Later"] = {"properties": {"x": {"type": "string"}}, "required": ["x"]}
    after["CheckText"]["properties"]["later"] = {"type": "string", "default": ""}
    after["CheckText"]["properties"]["text"]["title"] = "Words"
    after["CheckText"]["description"] = "said otherwise"
    assert breaks(before, after) == []


def test_generating_refuses_what_is_not_additive_unless_told_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path)
    path = tmp_path / SCHEMAS
    older = json.loads(path.read_text())
    older["CheckText"]["properties"]["colour"] = {"type": "string"}
    path.write_text(json.dumps(older))
    assert main([str(tmp_path)]) == 1
    assert "CheckText.colour is gone; not additive" in capsys.readouterr().err
    assert json.loads(path.read_text()) == older
    assert main(["--breaking", str(tmp_path)]) == 0
    assert drift(tmp_path) == []
