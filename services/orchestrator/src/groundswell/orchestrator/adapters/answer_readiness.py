"""Can a question be answered? Only if this replica takes questions and somebody reads each topic of its path."""

import asyncio
from collections.abc import Callable

from groundswell.common.bus.admin import groups_without_members
from groundswell.common.bus.work_source import group_name
from groundswell.common.errors import Unavailable
from groundswell.common.tiers import Tier
from groundswell.common.topics import CHECK_TEXT, GENERATE_ANSWER, RETRIEVE_PASSAGES

LOOK_EVERY_S = 1.0


class AnswerReadiness:
    """Looks at the consumer groups of a question's path once a second: a service joins its group once it can work."""

    def __init__(self, bootstrap: str, desk_is_open: Callable[[], bool]) -> None:
        self._bootstrap = bootstrap
        self._desk_is_open = desk_is_open
        self._silent: dict[str, str] = {"kafka": "not asked yet"}

    def missing(self) -> dict[str, str]:
        """What keeps a question from being answered, by name; empty when one can be."""
        here = {} if self._desk_is_open() else {"orchestrator": "starting or stopping"}
        return here | self._silent

    async def watch(self) -> None:
        groups = {
            group_name(topic.owner, topic[Tier.INTERACTIVE]): topic.owner
            for topic in (CHECK_TEXT, RETRIEVE_PASSAGES, GENERATE_ANSWER)
        }
        while True:
            try:
                silent = await groups_without_members(self._bootstrap, list(groups))
                self._silent = {groups[group]: "no process is ready" for group in silent}
            except Unavailable as error:
                self._silent = {"kafka": error.reason}
            await asyncio.sleep(LOOK_EVERY_S)
