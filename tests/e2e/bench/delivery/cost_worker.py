"""Reads what lies on a topic and publishes it on another one, and says what processor time that took.

Raw does by hand what the bus does: validates the same model, reads the same headers, sends both on, eight at once.
"""

import asyncio
import sys
import time

from delivery.child import hear_parent, tell_parent
from delivery.line import Parcel, command
from delivery.product import observed, working
from delivery.raw import clients
from groundswell.common.bus.consumption import consume
from groundswell.common.bus.messages import Outgoing, Received, follow
from groundswell.common.ids import new_message_id
from groundswell.common.tiers import Tier

TAKEN, GIVEN = command("cost-in"), command("cost-out")
AT_ONCE = 8
"""The slots of a consumption."""


class Meter:
    """Processor seconds, user and system, between two messages."""

    def __init__(self, first: int, last: int) -> None:
        self._first, self._last = first, last
        self._seen = 0
        self._started = self._ended = 0.0
        self.done = asyncio.Event()

    def count(self) -> None:
        self._seen += 1
        if self._seen == self._first:
            self._started = time.process_time()
        elif self._seen == self._last:
            self._ended = time.process_time()
            self.done.set()

    @property
    def microseconds(self) -> float:
        """For each message."""
        return (self._ended - self._started) / (self._last - self._first) * 1e6


async def product(address: str, group: str, meter: Meter) -> None:
    async def pass_on(message: Received[Parcel]) -> list[Outgoing]:
        meter.count()
        return [follow(message, GIVEN, message.payload)]

    observed()
    async with working(address, group, consume(TAKEN, pass_on, slots=AT_ONCE)):
        await meter.done.wait()


async def raw(address: str, group: str, meter: Meter) -> None:
    async with clients(address, group, TAKEN[Tier.INTERACTIVE]) as (consumer, producer):

        async def pass_on() -> None:
            while True:
                record = await consumer.getone()
                meter.count()
                headers = {name: value.decode() for name, value in record.headers}
                payload = Parcel.model_validate_json(record.value or b"")
                headers |= {"ce_id": new_message_id(), "ce_causationid": headers["ce_id"]}
                await producer.send_and_wait(
                    GIVEN[Tier.INTERACTIVE],
                    payload.model_dump_json().encode(),
                    key=record.key,
                    headers=[(name, value.encode()) for name, value in headers.items()],
                )

        passing = [asyncio.create_task(pass_on()) for _ in range(AT_ONCE)]
        await meter.done.wait()
        for task in passing:
            task.cancel()


async def work(kind: str, address: str, group: str, first: str, last: str) -> None:
    meter = Meter(int(first), int(last))
    await {"product": product, "raw": raw}[kind](address, group, meter)
    tell_parent(meter.microseconds)
    await hear_parent()


if __name__ == "__main__":
    asyncio.run(work(*sys.argv[1:]))
