"""One of the four processes in the middle of the way: takes from the topic of its hop, publishes to the next one."""

import asyncio
import sys

from delivery.child import hear_parent, tell_parent
from delivery.line import Parcel, chain
from delivery.product import observed, working
from delivery.raw import clients
from groundswell.common.bus.consumption import consume
from groundswell.common.bus.messages import Outgoing, Received, follow
from groundswell.common.tiers import Tier

SERVICE = "bench"


async def product(address: str, name: str, hop: int) -> None:
    taken, given = chain(name)[hop - 1 : hop + 1]

    async def pass_on(message: Received[Parcel]) -> list[Outgoing]:
        return [follow(message, given, message.payload)]

    observed()
    async with working(address, SERVICE, consume(taken, pass_on)):
        await until_told()


async def raw(address: str, name: str, hop: int) -> None:
    taken, given = (each[Tier.INTERACTIVE] for each in chain(name)[hop - 1 : hop + 1])
    async with clients(address, SERVICE, taken) as (consumer, producer):

        async def pass_on() -> None:
            while True:
                record = await consumer.getone()
                await producer.send_and_wait(given, record.value, key=record.key)

        passing = asyncio.create_task(pass_on())
        await until_told()
        passing.cancel()


async def until_told() -> None:
    tell_parent("ready")
    await hear_parent()


if __name__ == "__main__":
    kind, address, name, hop = sys.argv[1:]
    asyncio.run({"product": product, "raw": raw}[kind](address, name, int(hop)))
