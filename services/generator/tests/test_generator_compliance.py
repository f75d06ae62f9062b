"""The process keeps to docs/specs/service.md."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from groundswell.common.bus.admin import ensure_topics
from groundswell.common.testing.compliance import ServiceUnderTest, assert_complies

if TYPE_CHECKING:
    from groundswell.native.components import Addresses

pytestmark = [pytest.mark.connected, pytest.mark.timeout(240)]


async def test_the_generator_complies_with_the_spec(components: "Addresses", tmp_path: Path) -> None:
    await ensure_topics(components.kafka)
    environment = {
        "GROUNDSWELL_KAFKA": components.kafka,
        "GROUNDSWELL_MODEL": "null",
    }
    command = [sys.executable, "-m", "groundswell.generator"]
    await assert_complies(ServiceUnderTest("generator", command, environment, tmp_path))
