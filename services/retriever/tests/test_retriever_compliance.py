"""The process keeps to docs/specs/service.md."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from groundswell.common.bus.admin import ensure_topics
from groundswell.common.postgres import Postgres, migrate
from groundswell.common.settings import default_models_folder
from groundswell.common.testing.compliance import ServiceUnderTest, assert_complies

if TYPE_CHECKING:
    from groundswell.native.components import Addresses
    from groundswell.native.testing import FreshDatabase

pytestmark = [pytest.mark.connected, pytest.mark.models, pytest.mark.timeout(240)]
INGEST_MIGRATIONS = Path(__file__).parents[2] / "ingest" / "src" / "groundswell" / "ingest" / "migrations"


async def test_the_retriever_complies_with_the_spec(
    components: "Addresses", fresh_database: "FreshDatabase", tmp_path: Path
) -> None:
    await ensure_topics(components.kafka)
    await _make_views(fresh_database.dsns["ingest"])
    environment = {
        "GROUNDSWELL_KAFKA": components.kafka,
        "GROUNDSWELL_POSTGRES_URL": fresh_database.dsns["retriever"],
        "GROUNDSWELL_WEAVIATE_URL": components.weaviate_url,
        "GROUNDSWELL_WEAVIATE_GRPC_PORT": str(components.weaviate_grpc_port),
        "GROUNDSWELL_WEAVIATE_API_KEY": components.weaviate_api_key,
        "GROUNDSWELL_MODELS": str(default_models_folder()),
    }
    command = [sys.executable, "-m", "groundswell.retriever"]
    await assert_complies(ServiceUnderTest("retriever", command, environment, tmp_path))


async def _make_views(dsn: str) -> None:
    ingest = Postgres(SecretStr(dsn))
    await ingest.open()
    await migrate(ingest, "ingest", INGEST_MIGRATIONS)
    await ingest.close()
