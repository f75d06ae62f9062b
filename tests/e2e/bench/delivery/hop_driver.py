"""The first and last process of the way: publishes, receives, and takes the time between."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from itertools import count

from delivery.child import hear_parent, tell_parent
from delivery.line import Parcel, chain, outgoing, parcel
from delivery.product import observed, working
from delivery.raw import clients
from groundswell.common.bus.consumption import consume
from groundswell.common.bus.messages import Outgoing, Received
from groundswell.common.tiers import Tier

SERVICE = "bench"


class Trips:
    """Parcels on their way. `send` publishes the one with that number."""

    def __init__(self, send: Callable[[int], Awaitable[object]]) -> None:
        self._send = send
        self._numbers = count(time.time_ns())  # none that an earlier driver gave
        self._under_way: dict[int, asyncio.Future[float]] = {}

    def arrive(self, number: int) -> None:
        arrived = self._under_way.pop(number, None)
        if arrived is not None:
            arrived.set_result(time.perf_counter())

    async def take(self, messages: int, in_flight: int) -> list[float]:
        """Milliseconds of each, from the publish call to the handler, with so many under way at any time."""
        left = iter(range(messages))

        async def lane() -> list[float]:
            return [await self._one() for _ in left]

        lanes = await asyncio.gather(*(lane() for _ in range(in_flight)))
        return [milliseconds for taken in lanes for milliseconds in taken]

    async def _one(self) -> float:
        number = next(self._numbers)
        self._under_way[number] = arrived = asyncio.get_running_loop().create_future()
        started = time.perf_counter()
        await self._send(number)
        return float(await arrived - started) * 1000


async def product(address: str, name: str) -> None:
    first, *_, last = chain(name)

    async def receive(message: Received[Parcel]) -> list[Outgoing]:
        trips.arrive(message.payload.number)
        return []

    observed()
    async with working(address, SERVICE, consume(last, receive)) as bus:
        trips = Trips(lambda number: bus.publisher.publish(outgoing(number, first, Tier.INTERACTIVE)))
        await drive(trips)


async def raw(address: str, name: str) -> None:
    first, *_, last = (each[Tier.INTERACTIVE] for each in chain(name))
    async with clients(address, SERVICE, last) as (consumer, producer):

        def send(number: int) -> Awaitable[object]:
            value = parcel(number).model_dump_json().encode()
            return producer.send_and_wait(first, value, key=str(number).encode())

        trips = Trips(send)

        async def receive() -> None:
            while True:
                trips.arrive(int((await consumer.getone()).key or b""))

        receiving = asyncio.create_task(receive())
        await drive(trips)
        receiving.cancel()


async def drive(trips: Trips) -> None:
    """The parent says how many messages, and how many at once."""
    tell_parent("ready")
    while wanted := await hear_parent():
        tell_parent(await trips.take(**wanted))


if __name__ == "__main__":
    kind, address, name = sys.argv[1:]
    asyncio.run({"product": product, "raw": raw}[kind](address, name))
