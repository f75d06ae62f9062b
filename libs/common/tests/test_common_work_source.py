"""Commands on the real Kafka: handled, answered, committed."""

import pytest

from groundswell.common.bus.consumption import consume
from groundswell.common.testing.bench import Bench, answer
from groundswell.common.tiers import Tier

pytestmark = pytest.mark.connected


async def test_a_command_of_each_tier_is_answered_and_committed(bench: Bench) -> None:
    async with bench.working(consume(bench.command, answer)):
        for number, tier in enumerate(Tier):
            await bench.asks([number], tier=tier)
        await bench.until_answered(0, 1, 2)
        for tier in Tier:
            await bench.until_committed(bench.command[tier], 1)
