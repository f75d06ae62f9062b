"""What is left to do in a stack: rows without an end, messages that are not out, records that are not done."""

import asyncio
import time
from collections import Counter
from typing import Any

import psycopg
from dotenv import dotenv_values

from groundswell.common.bus.inspection import committed_offsets, end_offsets, records_on
from groundswell.common.bus.work_source import group_name
from groundswell.common.contracts.answers import AnswerEnded
from groundswell.common.topics import ANSWER_STREAM, CATALOGUE, Event, Topic, physical_topics
from soaking.oracle import Kept

LOOK_EVERY_S = 1.0
LEFT_TO_DO = {
    "orchestrator": {
        "unfinished requests": "SELECT count(*) FROM orchestrator.requests WHERE ended_at IS NULL",
        "messages in the outbox": "SELECT count(*) FROM orchestrator.outbox",
    },
    "ingest": {"pending versions": "SELECT count(*) FROM ingest.document_versions WHERE state = 'pending'"},
}

Offsets = dict[str, dict[int, int]]


def settle(stack: Any, within_s: float) -> dict[str, Any]:
    """Wait until nothing is left to do; what still is then, empty for a quiet stack."""
    until = time.monotonic() + within_s
    while left := _rows_left(stack) or _records_left(stack):
        if time.monotonic() > until:
            return left
        time.sleep(LOOK_EVERY_S)
    return left


def dead_letters(stack: Any) -> dict[str, int]:
    """How many lie on each dead-letter topic that has some."""
    topics = [topic.name for topic in physical_topics() if topic.name.endswith(".dlq")]
    ends = asyncio.run(end_offsets(stack.kafka, topics))
    return {topic: sum(of_topic.values()) for topic, of_topic in ends.items() if any(of_topic.values())}


def kept_requests(stack: Any, ids: set[str], key: str) -> dict[str, Kept]:
    """Those that are known."""
    with stack.http(key) as http:
        found = {each: http.get(f"/v1/requests/{each}") for each in ids}
    ended = _final_events(stack)
    return {each: _kept(response.json(), ended[each]) for each, response in found.items() if response.is_success}


def _final_events(stack: Any) -> Counter[str]:
    """How many each request has, by message id."""
    records = asyncio.run(records_on(stack.kafka, ANSWER_STREAM.physical_name))
    told = [(record.key, dict(record.headers)) for record in records]
    kind = AnswerEnded.type_name().encode()
    messages = {(key, headers["ce_id"]) for key, headers in told if key and headers["ce_type"] == kind}
    return Counter(key.decode() for key, _ in messages)


def _kept(shown: dict[str, Any], final_events: int) -> Kept:
    [choice] = shown["answer"]["choices"] if shown["answer"] else [None]
    ending = shown["error"]["code"] if shown["error"] else choice and choice["finish_reason"]
    return Kept(shown["state"], ending, (choice and choice["message"]["content"]) or "", final_events)


def _rows_left(stack: Any) -> dict[str, int]:
    left: dict[str, int] = {}
    for service, queries in LEFT_TO_DO.items():
        url = dotenv_values(stack.home / "env" / f"{service}.env")["GROUNDSWELL_POSTGRES_URL"]
        with psycopg.connect(str(url)) as connection:
            counted = {what: connection.execute(query).fetchone() for what, query in queries.items()}
        left |= {what: row[0] for what, row in counted.items() if row and row[0]}
    return left


def _records_left(stack: Any) -> dict[str, Any]:
    """Partitions whose group did not commit exactly their end, as (committed, end)."""
    groups = _groups()
    ends, committed = asyncio.run(_offsets(stack.kafka, groups))
    return {
        f"{group} {partition}": (committed[group].get(topic, {}).get(partition, 0), end)
        for group, topic in groups.items()
        for partition, end in ends[topic].items()
        if committed[group].get(topic, {}).get(partition, 0) != end
    }


def _groups() -> dict[str, str]:
    """Each group of the catalogue with its topic."""
    shared = [topic for topic in CATALOGUE if not _is_read_without_group(topic)]
    return {
        group_name(service, name): name
        for topic in shared
        for service in topic.consumers
        for name in topic.physical_names
    }


def _is_read_without_group(topic: Topic) -> bool:
    broadcast = isinstance(topic, Event) and topic.broadcast
    return broadcast or topic.name.startswith("rpl.orchestrator")


async def _offsets(bootstrap: str, groups: dict[str, str]) -> tuple[Offsets, dict[str, Offsets]]:
    ends = await end_offsets(bootstrap, list(groups.values()))
    return ends, {group: await committed_offsets(bootstrap, group) for group in groups}
