"""The process keeps to docs/specs/service.md."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from groundswell.common.bus.admin import ensure_topics
from groundswell.common.settings import default_models_folder
from groundswell.common.testing.compliance import ServiceUnderTest, assert_complies

if TYPE_CHECKING:
    from groundswell.native.components import Addresses
    from groundswell.native.testing import FreshDatabase

pytestmark = [pytest.mark.connected, pytest.mark.models, pytest.mark.timeout(240)]


async def test_ingest_complies_with_the_spec(
    components: "Addresses", fresh_database: "FreshDatabase", tmp_path: Path
) -> None:
    await ensure_topics(components.kafka)
    environment = {
        "GROUNDSWELL_KAFKA": components.kafka,
        "GROUNDSWELL_POSTGRES_URL": fresh_database.dsns["ingest"],
        "GROUNDSWELL_OBJECT_STORE_URL": f"file://{tmp_path}/blobs",
        "GROUNDSWELL_MODELS": str(default_models_folder()),
    }
    command = [sys.executable, "-m", "groundswell.ingest"]
    await assert_complies(ServiceUnderTest("ingest", command, environment, tmp_path))
