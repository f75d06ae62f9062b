"""Everything of the bus in one process: started when Kafka and the topics are there, watched, drained."""

import asyncio
from collections.abc import Sequence

from groundswell.common.bus.admin import missing_topics
from groundswell.common.bus.claims import Claims
from groundswell.common.bus.clock import BrokerClock
from groundswell.common.bus.consumption import BroadcastSubscription, Consumption, EventSubscription
from groundswell.common.bus.dead_letters import DeadLetters
from groundswell.common.bus.events import EventSubscribers
from groundswell.common.bus.membership import let_the_dead_leave
from groundswell.common.bus.publisher import Publisher
from groundswell.common.bus.readers import PartitionReader
from groundswell.common.bus.turns import TierGate
from groundswell.common.bus.work import SESSION_S, BusContext
from groundswell.common.bus.work_source import WorkSource
from groundswell.common.errors import Unavailable
from groundswell.common.tiers import Tier
from groundswell.common.topics import Command, Event

Subscription = Consumption | EventSubscription | BroadcastSubscription
Part = WorkSource | PartitionReader


class Bus:
    """A process's publisher and subscriptions."""

    def __init__(
        self,
        bootstrap: str,
        *,
        service: str,
        subscriptions: Sequence[Subscription] = (),
        session_s: float = SESSION_S,
        claims: Claims | None = None,
    ) -> None:
        clock = BrokerClock()
        self.publisher = Publisher(bootstrap, service=service, clock=clock, claims=claims)
        self.context = BusContext(
            bootstrap=bootstrap,
            service=service,
            publisher=self.publisher,
            clock=clock,
            dead_letters=DeadLetters(self.publisher, service=service),
            claims=self.publisher.claims,
            session_s=session_s,
        )
        self._sources = [
            source for item in subscriptions if isinstance(item, Consumption) for source in self._tiers(item)
        ]
        self._readers = {
            item.topic.name: PartitionReader([item.topic], item.hear, self.context, since_s=item.since_s)
            for item in subscriptions
            if isinstance(item, BroadcastSubscription)
        }
        self._events = EventSubscribers(
            [item for item in subscriptions if isinstance(item, EventSubscription)], self.context
        )
        self._running: dict[Part, asyncio.Task[None]] = {}

    async def connect(self) -> None:
        """Connect the publisher once the broker and every topic are there. Raises Unavailable, saying what is not."""
        missing = await missing_topics(self.context.bootstrap)
        if missing:
            raise Unavailable(f"Kafka lacks {len(missing)} topics, {missing[0]} first")
        await self.publisher.start()

    async def start(self) -> list[asyncio.Task[None]]:
        """Start taking work; the tasks run until `stop` and raise what needs a restart.

        Raises Unavailable; called again it goes on where it was.
        """
        if not self._running:
            groups = [*(source.group for source in self._sources), *self._events.groups]
            await let_the_dead_leave(self.context.bootstrap, self.context.service, groups)
        parts: list[Part] = [*self._readers.values(), *self._sources]
        for part in parts:
            if part not in self._running:
                await part.start()
                self._running[part] = asyncio.create_task(part.run())
        await self._events.start()
        return [*self._running.values(), *self._events.watching]

    async def check(self) -> None:
        """Raises Unavailable unless the broker answers now."""
        await self.publisher.check()

    async def has_heard_all(self, event: Event) -> bool:
        """Whether nothing lies unheard on a broadcast event that this process listens to. Raises Unavailable."""
        return await self._readers[event.name].has_heard_all()

    def partitions(self, command: Command) -> dict[Tier, tuple[int, ...]]:
        """The partitions of a command that this process reads."""
        sources = {source.topic: source.partitions for source in self._sources}
        return {tier: sources.get(command[tier], ()) for tier in Tier}

    def missing(self) -> dict[str, str]:
        """Topics whose group has not given this process its partitions yet, and why."""
        return {source.topic: "joining its group" for source in self._sources if not source.assigned}

    async def stop(self, drain_s: float) -> None:
        """Finish what runs within `drain_s`, commit, leave. Always returns."""
        sources = [part for part in self._running if isinstance(part, WorkSource)]
        readers = [part for part in self._running if isinstance(part, PartitionReader)]
        await asyncio.gather(*(source.stop(drain_s) for source in sources), self._events.stop(), return_exceptions=True)
        await asyncio.gather(*(reader.stop() for reader in readers), return_exceptions=True)
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)
        await self.publisher.stop()

    def _tiers(self, consumption: Consumption) -> list[WorkSource]:
        gate = TierGate(consumption.slots)
        topic = consumption.topic
        tiers = (
            {topic[tier]: tier for tier in Tier}
            if isinstance(topic, Command)
            else {topic.physical_name: Tier.INTERACTIVE}
        )
        return [
            WorkSource(consumption, topic=name, tier=tier, gate=gate, context=self.context)
            for name, tier in tiers.items()
        ]
