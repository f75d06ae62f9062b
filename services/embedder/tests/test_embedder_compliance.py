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

pytestmark = [pytest.mark.connected, pytest.mark.models, pytest.mark.timeout(240)]


async def test_the_embedder_complies_with_the_spec(components: "Addresses", tmp_path: Path) -> None:
    await ensure_topics(components.kafka)
    environment = {
        "GROUNDSWELL_KAFKA": components.kafka,
        "GROUNDSWELL_WEAVIATE_URL": components.weaviate_url,
        "GROUNDSWELL_WEAVIATE_GRPC_PORT": str(components.weaviate_grpc_port),
        "GROUNDSWELL_WEAVIATE_API_KEY": components.weaviate_api_key,
        "GROUNDSWELL_MODELS": str(default_models_folder()),
    }
    command = [sys.executable, "-m", "groundswell.embedder"]
    await assert_complies(ServiceUnderTest("embedder", command, environment, tmp_path))
