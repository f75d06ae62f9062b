"""A replica keeps its lease while it takes over what lies on a partition, however much that is."""

import asyncio
from typing import Any, cast

import pytest

from groundswell.common.contracts.generation import ChatMessage
from groundswell.common.errors import Unavailable
from groundswell.common.ids import KeyId, RequestId, TeamId
from groundswell.common.postgres import Postgres
from groundswell.common.testing.waiting import until
from groundswell.common.tiers import Tier
from groundswell.orchestrator.adapters.adoption import Adoption
from groundswell.orchestrator.adapters.hearing import Hearing
from groundswell.orchestrator.adapters.reply_lease import Lease, LeaseLost, ReplyLease
from groundswell.orchestrator.domain.question import Caller, Question
from groundswell.orchestrator.ports import Orphan, Ownership

ORPHAN = Orphan(
    Question(
        request_id=RequestId("req_1"),
        caller=Caller(key=KeyId("key_1"), team=TeamId("blue")),
        model="null",
        messages=(ChatMessage(role="user", content="When do backups run?"),),
        tier=Tier.INTERACTIVE,
        created=0.0,
        deadline=60.0,
        max_tokens=16,
    ),
    reply_offset=0,
)


class BeatenLease(ReplyLease):
    """Held without a database; counts its beats."""

    def __init__(self) -> None:
        super().__init__(cast("Postgres", None), owner="me", partitions=1, beat_s=0.0)
        self._held = Lease(0, 1)
        self.beats = 0
        self.mine = True

    async def is_mine(self) -> bool:
        self.beats += 1
        return self.mine

    async def give_back(self, held: Lease) -> None:
        assert held == Lease(0, 1)


class SlowLedger:
    """Knows what there is to adopt only after some beats, and then is away."""

    def __init__(self, lease: BeatenLease) -> None:
        self.lease = lease

    async def adopt(self, ownership: Ownership) -> list[Orphan]:
        beaten = self.lease.beats
        await until(lambda: self.lease.beats > beaten + 2)
        raise Unavailable("PostgreSQL: away")


def adoption(lease: BeatenLease, desk: object) -> Adoption:
    return Adoption(cast("Any", desk), cast("Any", SlowLedger(lease)), lease, Hearing(), replies=())


async def test_the_lease_is_kept_from_the_first_try_to_open_on_until_it_is_closed() -> None:
    lease = BeatenLease()
    opening = adoption(lease, None)
    for _ in range(2):
        with pytest.raises(Unavailable):
            await opening.open_own(cast("Any", None))
    beaten = lease.beats
    await until(lambda: lease.beats > beaten)
    await lease.close()
    beaten = lease.beats
    for _ in range(5):
        await asyncio.sleep(0)
    assert lease.beats == beaten


async def test_a_lease_that_is_lost_while_it_opens_is_told_to_whoever_keeps_it() -> None:
    lease = BeatenLease()
    beating = lease.begin_beating()
    lease.mine = False
    await asyncio.wait({beating})
    with pytest.raises(LeaseLost):
        await lease.keep()
    await lease.close()


async def test_the_lease_is_beaten_between_one_request_that_is_carried_on_and_the_next() -> None:
    lease, beats = BeatenLease(), list[int]()

    class Desk:
        def adopt(self, *_: object) -> asyncio.Task[None]:
            beats.append(lease.beats)
            return asyncio.create_task(asyncio.sleep(0))

    lease.begin_beating()
    await adoption(lease, Desk())._carry_on([ORPHAN] * 5, [], cast("Any", None))
    assert beats[-1] > beats[0]
    await lease.close()
