"""The process keeps to docs/specs/service.md."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from groundswell.common.bus.admin import ensure_topics
from groundswell.common.testing.compliance import ServiceUnderTest, assert_complies

if TYPE_CHECKING:
    from groundswell.native.components import Addresses
    from groundswell.native.testing import FreshDatabase

pytestmark = [pytest.mark.connected, pytest.mark.timeout(240)]


async def test_the_orchestrator_complies_with_the_spec(
    components: "Addresses", fresh_database: "FreshDatabase", tmp_path: Path
) -> None:
    await ensure_topics(components.kafka)
    environment = {
        "GROUNDSWELL_KAFKA": components.kafka,
        "GROUNDSWELL_POSTGRES_URL": fresh_database.dsns["orchestrator"],
        "GROUNDSWELL_OBJECT_STORE_URL": f"file://{tmp_path}/blobs",
        "GROUNDSWELL_HTTP_PORT": "0",
    }
    command = [sys.executable, "-m", "groundswell.orchestrator"]
    await assert_complies(ServiceUnderTest("orchestrator", command, environment, tmp_path))
