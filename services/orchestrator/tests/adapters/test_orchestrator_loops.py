"""Background loops over the database end when they are cancelled, also by a cancellation that the pool dropped."""

import asyncio
from typing import Any, cast

import pytest

from groundswell.common.postgres import Postgres
from groundswell.orchestrator.adapters.adoption import Adoption
from groundswell.orchestrator.adapters.hearing import Hearing
from groundswell.orchestrator.adapters.reply_lease import ReplyLease


class Lease(ReplyLease):
    """Holds its partition without a database; swallows the first cancellation, as the pool may."""

    def __init__(self) -> None:
        super().__init__(cast("Postgres", None), owner="me", partitions=1, beat_s=0.0)
        self.asked = asyncio.Event()

    async def is_mine(self) -> bool:
        await self._swallow()
        return True

    async def take_lapsed(self) -> None:
        await self._swallow()

    async def _swallow(self) -> None:
        self.asked.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return


class OpenDesk:
    is_open = True


async def ends(loop: asyncio.Task[None], lease: Lease) -> None:
    await asyncio.wait_for(lease.asked.wait(), 20)
    loop.cancel()
    done, _ = await asyncio.wait({loop}, timeout=20)
    assert done
    with pytest.raises(asyncio.CancelledError):
        loop.result()


async def test_the_lease_is_kept_until_cancelled() -> None:
    lease = Lease()
    await ends(asyncio.create_task(lease.keep()), lease)


async def test_adoption_looks_until_cancelled() -> None:
    lease = Lease()
    adoption = Adoption(cast("Any", OpenDesk()), cast("Any", None), lease, Hearing(), replies=())
    adoption._bus = cast("Any", object())
    await ends(asyncio.create_task(adoption.run()), lease)
