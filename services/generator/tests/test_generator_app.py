from pathlib import Path

import pytest

from groundswell.common.errors import Misconfigured, Unavailable
from groundswell.common.topics import ATTEMPT_CANCELLED, GENERATE_ANSWER
from groundswell.generator.app import build
from groundswell.generator.settings import Settings


def settings(home: Path, **changes: object) -> Settings:
    return Settings.model_validate({"home": home, "models": home / "models", "model": "null"} | changes)


def test_one_subscription_for_each_topic_that_it_reacts_to(tmp_path: Path) -> None:
    service = build(settings(tmp_path))
    assert [subscription.topic for subscription in service.subscriptions] == [GENERATE_ANSWER, ATTEMPT_CANCELLED]


@pytest.mark.parametrize(("model", "reason"), [("gpt-9", "unknown model 'gpt-9'"), ("minilm", "writes no text")])
def test_a_model_that_cannot_write_stops_the_start(tmp_path: Path, model: str, reason: str) -> None:
    with pytest.raises(Misconfigured, match=f"GROUNDSWELL_MODEL.*{reason}"):
        build(settings(tmp_path, model=model))


async def test_waits_for_a_model_that_nobody_pulled_and_says_how_to_pull_it(tmp_path: Path) -> None:
    service = build(settings(tmp_path, model="smollm2-135m"))
    with pytest.raises(Unavailable, match="groundswell models pull smollm2-135m"):
        await service.resources["model"].open()


async def test_is_usable_from_opening_to_closing(tmp_path: Path) -> None:
    model = build(settings(tmp_path)).resources["model"]
    with pytest.raises(Unavailable):
        await model.check()
    await model.open()
    await model.check()
    await model.close()
    with pytest.raises(Unavailable):
        await model.check()
