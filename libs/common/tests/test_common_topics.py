"""The catalogue says of every message where it travels, and contradicts itself nowhere."""

import inspect
import re
from types import ModuleType
from typing import get_args

import pytest

from groundswell.common import topics
from groundswell.common.contracts import answers, generation, knowledge, message, moderation, retrieval
from groundswell.common.contracts.message import Message
from groundswell.common.tiers import Tier
from groundswell.common.topics import CATALOGUE, Command, Event, PhysicalTopic, Reply, Topic, physical_topics

SERVICES = {"ingest", "embedder", "retriever", "orchestrator", "generator", "moderator"}
MODULES: list[ModuleType] = [answers, generation, knowledge, message, moderation, retrieval]
PHYSICAL = {topic.name: topic for topic in physical_topics()}
each_topic = pytest.mark.parametrize("topic", CATALOGUE, ids=lambda topic: topic.name)
each_command = pytest.mark.parametrize(
    "command", [topic for topic in CATALOGUE if isinstance(topic, Command)], ids=lambda topic: topic.name
)


def message_classes() -> set[type[Message]]:
    return {
        found
        for module in MODULES
        for _, found in inspect.getmembers(module, inspect.isclass)
        if issubclass(found, Message) and found is not Message
    }


def nested(model: type[Message]) -> set[type[Message]]:
    """Message classes that fields of `model` hold, at any depth."""
    found: set[type[Message]] = set()
    waiting: list[object] = [field.annotation for field in model.model_fields.values()]
    while waiting:
        annotation = waiting.pop()
        waiting += get_args(annotation)
        if inspect.isclass(annotation) and issubclass(annotation, Message) and annotation not in found:
            found.add(annotation)
            waiting += [field.annotation for field in annotation.model_fields.values()]
    return found


def test_the_catalogue_holds_every_topic_that_has_a_constant() -> None:
    constants = {value for value in vars(topics).values() if isinstance(value, Topic)}
    assert constants == set(CATALOGUE)


@pytest.mark.parametrize("name", sorted(PHYSICAL))
def test_names_are_lower_case_with_hyphens_and_dots(name: str) -> None:
    assert re.fullmatch(r"(cmd|rpl|evt)(\.[a-z0-9]+(-[a-z0-9]+)*)+", name)
    assert len(name) <= 200


@each_topic
def test_the_kind_is_the_first_part_of_the_name(topic: Topic) -> None:
    kinds: dict[type[Topic], str] = {Command: "cmd.", Reply: "rpl.", Event: "evt."}
    assert topic.name.startswith(kinds[type(topic)])


def test_physical_names_are_unique() -> None:
    assert len(physical_topics()) == len(PHYSICAL)


@each_topic
def test_types_on_a_topic_are_told_apart_by_name(topic: Topic) -> None:
    assert len(topic.by_type) == len(topic.payloads) > 0


@each_topic
def test_producers_and_consumers_are_services_and_the_topic_says_what_it_is_for(topic: Topic) -> None:
    assert {topic.owner, *topic.producers, *topic.consumers} <= SERVICES
    assert topic.producers
    assert topic.purpose
    assert topic.key


@each_command
def test_a_command_belongs_to_its_one_consumer(command: Command) -> None:
    assert command.consumers == (command.owner,)


@each_command
def test_a_command_is_imperative_and_alone_on_its_topic(command: Command) -> None:
    (payload,) = command.payloads
    words = re.sub(r"(?<!^)(?=[A-Z])", "-", payload.type_name()).lower()
    assert command.name == f"cmd.{words}"


@each_command
def test_a_command_has_a_topic_for_each_tier(command: Command) -> None:
    assert set(command.physical_names) == {command[tier] for tier in Tier}
    assert all(tier.value in command[tier] for tier in Tier)


@each_command
def test_the_outcomes_of_a_command_have_a_topic_that_its_producers_read(command: Command) -> None:
    readers = [
        topic for topic in CATALOGUE if isinstance(topic, Reply) and set(command.producers) & set(topic.consumers)
    ]
    assert not command.outcomes or any(set(command.outcomes) <= set(topic.payloads) for topic in readers)


def test_an_event_belongs_to_its_producer() -> None:
    events = [topic for topic in CATALOGUE if isinstance(topic, Event)]
    assert all(event.producers == (event.owner,) for event in events)


def test_every_message_class_travels_or_is_part_of_one_that_does() -> None:
    travelling = {payload for topic in CATALOGUE for payload in topic.payloads}
    inside = {part for payload in travelling for part in nested(payload)}
    bases = {base for payload in travelling for base in payload.__mro__[1:]}
    assert message_classes() - travelling - inside - bases == set()


def test_type_names_mean_one_class_everywhere() -> None:
    classes = message_classes()
    assert len({found.type_name() for found in classes}) == len(classes)


@each_topic
def test_dead_letters_have_a_topic_for_each_consumer_with_room(topic: Topic) -> None:
    if isinstance(topic, Event) and topic.broadcast:
        assert not any(topic.dead_letters(service) in PHYSICAL for service in topic.consumers)
        return
    live = [PHYSICAL[name] for name in topic.physical_names]
    for service in topic.consumers:
        dead = PHYSICAL[topic.dead_letters(service)]
        assert all(_number(dead, "max.message.bytes") > _number(one, "max.message.bytes") for one in live)
        assert all(_number(dead, "retention.ms") >= _number(one, "retention.ms") for one in live)


@pytest.mark.parametrize("topic", PHYSICAL.values(), ids=lambda topic: topic.name)
def test_the_broker_stamps_every_record_and_compacts_nothing(topic: PhysicalTopic) -> None:
    assert topic.configs["message.timestamp.type"] == "LogAppendTime"
    assert topic.configs["cleanup.policy"] == "delete"
    assert topic.partitions >= 1


def test_replies_are_kept_longer_than_the_longest_deadline() -> None:
    day_ms = 24 * 3_600_000
    assert all(topic.retention_ms >= day_ms for topic in CATALOGUE if isinstance(topic, Reply))


def test_commands_of_one_line_of_work_can_be_taken_by_several_members() -> None:
    assert all(topic.partitions > 1 for topic in CATALOGUE if isinstance(topic, Command | Reply))


def test_code_reaches_a_topic_by_its_constant() -> None:
    assert topics.RETRIEVE_PASSAGES[Tier.INTERACTIVE] == "cmd.retrieve-passages.interactive.v1"
    assert topics.DOCUMENT_LIFECYCLE.physical_name == "evt.document-lifecycle.v1"
    assert topics.CHECK_TEXT.dead_letters("moderator") == "cmd.check-text.dlq"
    assert topics.DOCUMENT_LIFECYCLE.dead_letters("orchestrator") == "evt.document-lifecycle.orchestrator.dlq"


def _number(topic: PhysicalTopic, config: str) -> int:
    return int(topic.configs[config])
