"""Benches on the real Kafka."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from groundswell.common.testing.bench import Bench, bench_on


@pytest.fixture
async def bench(components: Any) -> AsyncIterator[Bench]:
    """Topics of one partition."""
    async with bench_on(components.kafka) as made:
        yield made


@pytest.fixture
async def wide_bench(components: Any) -> AsyncIterator[Bench]:
    """Topics of four partitions."""
    async with bench_on(components.kafka, partitions=4) as made:
        yield made
