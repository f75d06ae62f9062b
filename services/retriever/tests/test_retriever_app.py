"""The composition: what the service consumes and waits for; a wrong setting stops the start with a clear line."""

from pathlib import Path

import pytest

from groundswell.common.bus.consumption import Consumption
from groundswell.common.errors import Misconfigured
from groundswell.common.topics import RETRIEVE_PASSAGES
from groundswell.retriever.app import build


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GROUNDSWELL_HOME", str(tmp_path))
    monkeypatch.setenv("GROUNDSWELL_WEAVIATE_API_KEY", "test-key")
    monkeypatch.setenv("GROUNDSWELL_POSTGRES_URL", "postgresql://retriever:test@127.0.0.1/groundswell")


def test_it_consumes_questions_and_waits_for_model_index_and_view() -> None:
    service = build()
    (consumption,) = service.subscriptions
    assert isinstance(consumption, Consumption)
    assert (consumption.topic, consumption.handle is None) == (RETRIEVE_PASSAGES, False)
    assert list(service.resources) == ["encoder", "weaviate", "postgres"]


@pytest.mark.parametrize(("variable", "value"), [("NEAR_FROM", "1.5"), ("SEARCH_WITHIN_S", "0")])
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(f"GROUNDSWELL_{variable}", value)
    with pytest.raises(Misconfigured, match=f"GROUNDSWELL_{variable}"):
        build()


def test_without_a_database_it_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GROUNDSWELL_POSTGRES_URL")
    with pytest.raises(Misconfigured, match="GROUNDSWELL_POSTGRES_URL"):
        build()
