"""Can a question be answered? Only if this replica takes questions, can record them, and each topic has a reader."""

import asyncio
from collections.abc import Awaitable, Callable

from groundswell.common.bus.admin import groups_without_members
from groundswell.common.bus.work_source import group_name
from groundswell.common.errors import Unavailable
from groundswell.common.tiers import Tier
from groundswell.common.topics import CHECK_TEXT, GENERATE_ANSWER, RETRIEVE_PASSAGES

LOOK_EVERY_S = 1.0


class AnswerReadiness:
    """Looks once a second at the consumer groups of a question's path, which a service joins once it can work, and at
    the database: `check_database` raises Unavailable while requests cannot be recorded.
    """

    def __init__(
        self, bootstrap: str, desk_is_open: Callable[[], bool], check_database: Callable[[], Awaitable[None]]
    ) -> None:
        self._bootstrap = bootstrap
        self._desk_is_open = desk_is_open
        self._check_database = check_database
        self._lacking: dict[str, str] = {"kafka": "not asked yet"}

    def missing(self) -> dict[str, str]:
        """What keeps a question from being answered, by name; empty when one can be."""
        here = {} if self._desk_is_open() else {"orchestrator": "starting or stopping"}
        return here | self._lacking

    async def watch(self) -> None:
        while True:
            readers, database = await asyncio.gather(self._readers(), self._database())
            self._lacking = readers | database
            await asyncio.sleep(LOOK_EVERY_S)

    async def _readers(self) -> dict[str, str]:
        groups = {
            group_name(topic.owner, topic[Tier.INTERACTIVE]): topic.owner
            for topic in (CHECK_TEXT, RETRIEVE_PASSAGES, GENERATE_ANSWER)
        }
        try:
            silent = await groups_without_members(self._bootstrap, list(groups))
        except Unavailable as error:
            return {"kafka": error.reason}
        return {groups[group]: "no process is ready" for group in silent}

    async def _database(self) -> dict[str, str]:
        try:
            await self._check_database()
        except Unavailable as error:
            return {"postgres": error.reason}
        return {}
