"""How the service is put together, and that it works on the real bus."""

import pytest

from groundswell.common.errors import Misconfigured
from groundswell.common.topics import INGEST_DOCUMENT, INGEST_REPLIES, REMOVE_DOCUMENT
from groundswell.ingest.app import build


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> pytest.MonkeyPatch:
    monkeypatch.setenv("GROUNDSWELL_HOME", str(tmp_path))
    monkeypatch.setenv("GROUNDSWELL_OBJECT_STORE_URL", f"file://{tmp_path}/blobs")
    monkeypatch.setenv("GROUNDSWELL_POSTGRES_URL", "postgresql://nobody:secret@127.0.0.1:1/none")
    return monkeypatch


async def test_it_listens_to_its_commands_and_replies(environment: pytest.MonkeyPatch) -> None:
    service = build()
    topics = {subscription.topic for subscription in service.subscriptions}
    assert topics == {INGEST_DOCUMENT, REMOVE_DOCUMENT, INGEST_REPLIES}
    assert all("ingest" in topic.consumers for topic in topics)
    assert set(service.resources) == {"postgres", "tokenizer"}


async def test_a_missing_setting_stops_the_start_and_is_named(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("GROUNDSWELL_POSTGRES_URL")
    with pytest.raises(Misconfigured, match="GROUNDSWELL_POSTGRES_URL"):
        build()


async def test_a_wrong_setting_is_named_and_its_value_is_not_shown(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("GROUNDSWELL_INGEST_LIMIT_BYTES", "lots-of-them")
    with pytest.raises(Misconfigured, match="GROUNDSWELL_INGEST_LIMIT_BYTES") as error:
        build()
    assert "lots-of-them" not in str(error.value)
