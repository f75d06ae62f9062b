"""The composition: what the service consumes and waits for; a wrong setting stops the start with a clear line."""

from pathlib import Path

import pytest

from groundswell.common.bus.consumption import Consumption
from groundswell.common.errors import Misconfigured
from groundswell.common.topics import EMBED_CHUNKS
from groundswell.embedder.app import build


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GROUNDSWELL_HOME", str(tmp_path))
    monkeypatch.setenv("GROUNDSWELL_WEAVIATE_API_KEY", "test-key")


def test_it_consumes_embed_commands_in_batches_and_waits_for_model_and_index() -> None:
    service = build()
    (consumption,) = service.subscriptions
    assert isinstance(consumption, Consumption)
    assert (consumption.topic, consumption.handle_batch is None) == (EMBED_CHUNKS, False)
    assert list(service.resources) == ["encoder", "weaviate"]


def test_settings_are_read_from_the_env_file_of_the_service(tmp_path: Path) -> None:
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "embedder.env").write_text("GROUNDSWELL_BATCH_MESSAGES='7'\n", encoding="utf-8")
    (consumption,) = build().subscriptions
    assert isinstance(consumption, Consumption)
    assert consumption.batch is not None
    assert consumption.batch.messages == 7


@pytest.mark.parametrize(("variable", "value"), [("BATCH_MESSAGES", "0"), ("WEAVIATE_GRPC_PORT", "many")])
def test_a_wrong_setting_is_named_and_its_value_is_not(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(f"GROUNDSWELL_{variable}", value)
    with pytest.raises(Misconfigured, match=f"GROUNDSWELL_{variable}"):
        build()


def test_a_missing_key_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GROUNDSWELL_WEAVIATE_API_KEY")
    with pytest.raises(Misconfigured, match="GROUNDSWELL_WEAVIATE_API_KEY"):
        build()
