"""What keeps a question from being answered is named."""

import asyncio

from pydantic import SecretStr

from groundswell.common.postgres import Postgres
from groundswell.common.testing.waiting import until
from groundswell.orchestrator.adapters.answer_readiness import AnswerReadiness

NOWHERE = "127.0.0.1:1"


async def test_components_that_are_away_are_named() -> None:
    postgres = Postgres(SecretStr(f"postgresql://nobody@{NOWHERE}/none"), connect_within_s=0.2)
    readiness = AnswerReadiness(NOWHERE, lambda: True, postgres.check)
    watching = asyncio.create_task(readiness.watch())
    try:
        await until(lambda: readiness.missing().keys() == {"kafka", "postgres"})
    finally:
        watching.cancel()


def test_a_replica_that_takes_no_questions_says_so() -> None:
    async def there() -> None: ...

    assert AnswerReadiness(NOWHERE, lambda: False, there).missing().keys() == {"orchestrator", "kafka"}
