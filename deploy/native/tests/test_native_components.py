"""Which components are local, and what a start is told about the others."""

from pathlib import Path

import pytest

from groundswell.native import components, models
from groundswell.native.completeness import require_copies, shortcomings
from groundswell.native.errors import NotReadyError
from groundswell.native.program import Program
from groundswell.native.settings import load
from groundswell.native.status import Record


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROUNDSWELL_HOME", str(tmp_path / "home"))


def test_one_variable_each_points_at_an_existing_component(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "KAFKA": "broker:9092",
        "WEAVIATE_URL": "https://index:443",
        "WEAVIATE_API_KEY": "index-key",
        "WEAVIATE_GRPC_PORT": "50052",
        "POSTGRES_URL": "postgresql://boss:secret@facts:5432/postgres",
        "OBJECT_STORE_URL": "s3://blobs",
    }
    for name, value in given.items():
        monkeypatch.setenv(f"GROUNDSWELL_{name}", value)
    settings = load()
    settings.home.create()
    where = components.addresses(settings, {})
    assert (where.kafka, where.weaviate_url, where.weaviate_api_key) == (
        "broker:9092",
        "https://index:443",
        "index-key",
    )
    assert (where.weaviate_grpc_port, where.object_store_url) == (50052, "s3://blobs")
    assert where.postgres_admin == given["POSTGRES_URL"]
    assert components.programs(settings, {}) == []


def test_without_them_everything_is_local() -> None:
    assert components.is_local(load()) == {"kafka": True, "weaviate": True, "postgres": True}


def test_the_null_model_needs_no_language_model(monkeypatch: pytest.MonkeyPatch) -> None:
    assert models.needed(load()) == ["minilm", "qwen2.5-0.5b"]
    monkeypatch.setenv("GROUNDSWELL_MODEL", "null")
    assert models.needed(load()) == ["minilm"]


def test_a_missing_copy_and_an_unready_one_are_both_named() -> None:
    generator = Program(name="generator", command=("x",), env={}, copies=2)
    kafka = Program(name="kafka", command=("x",), env={}, component=True)
    ready = _record("generator", {})
    waiting = _record("generator", {"model": "loading"})
    assert shortcomings([kafka, generator], [_record("kafka", {}), ready, ready]) == {}
    assert shortcomings([kafka, generator], [_record("kafka", {}), ready]) == {"generator": "starting"}
    assert shortcomings([kafka, generator], [ready, waiting]) == {"kafka": "starting", "generator": "model: loading"}
    starts = _record("generator", {"kafka": "not opened yet", "model": "not opened yet"})
    assert shortcomings([generator], [ready, waiting], as_they_are=[waiting.pid]) == {}
    assert shortcomings([generator], [ready, starts]) == {"generator": "kafka, model: not opened yet"}


def test_a_wait_for_a_service_scaled_to_none_ends_at_once_with_what_brings_it_back() -> None:
    with pytest.raises(NotReadyError, match="groundswell scale moderator 1"):
        require_copies([Program(name="moderator", command=("x",), env={}, copies=0)])


def _record(service: str, missing: dict[str, str]) -> Record:
    return Record(
        service=service,
        pid=1,
        port=None,
        instance=service,
        component=False,
        ready=not missing,
        missing=missing,
        rss_bytes=0,
        uptime_s=0,
    )
