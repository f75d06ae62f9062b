"""A mixed load on the null model, by a seed: what each client asks, and what it hears."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import httpx

from soaking.oracle import OK, Asked, Try

PATIENT_S = 100.0
"""Longer than any fault and what it costs afterwards."""
GIVES_UP_S = PATIENT_S + 30
ASKS_AGAIN_S = 0.5
MOST_AT_ONCE = 300
TIERS = {"interactive": 5, "standard": 3, "bulk": 2}
KINDS = {"patient": 55, "impatient": 10, "leaving": 10, "keyed": 25}
DOCUMENTS_SHARE, STREAMED_SHARE, REPEATED_SHARE = 0.3, 0.6, 0.2


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One client: it asks `at_s` into the load, and again under `key` until it is told an end."""

    number: int
    at_s: float
    question: str
    body: dict[str, Any]
    kind: str
    key: str | None
    asks_twice: bool
    """Once more after it was told the end."""

    @property
    def streamed(self) -> bool:
        return bool(self.body["stream"])


def plan(random: Random, count: int, load_s: float) -> list[Planned]:
    """`count` clients over `load_s`, by their moment: the same random numbers give the same ones."""
    return sorted((_client(random, number, load_s) for number in range(count)), key=lambda client: client.at_s)


def _client(random: Random, number: int, load_s: float) -> Planned:
    [kind] = random.choices(list(KINDS), list(KINDS.values()))
    [tier] = random.choices(list(TIERS), list(TIERS.values()))
    short_lived = kind in ("impatient", "leaving")
    from_documents = not short_lived and random.random() < DOCUMENTS_SHARE
    words = random.randint(60, 100) if short_lived else random.randint(3, 40)
    question = " ".join([f"client{number}", *(f"word{place}" for place in range(words))])
    if from_documents:
        question = f"By how many metres does the lock called home lift boats? Client {number} asks."
    deadline_s = random.uniform(0.5, 3.0) if kind == "impatient" else PATIENT_S
    return Planned(
        number=number,
        at_s=random.uniform(0, load_s),
        question=question,
        body={
            "model": "docs-qa" if from_documents else "null",
            "messages": [{"role": "user", "content": question}],
            "stream": kind == "leaving" or random.random() < STREAMED_SHARE,
            "groundswell": {"tier": tier, "deadline_s": deadline_s},
        },
        kind=kind,
        key=f"{number}-{random.getrandbits(64):x}" if kind == "keyed" else None,
        asks_twice=kind == "keyed" and random.random() < REPEATED_SHARE,
    )


@contextmanager
def under_load(url: str, key: str, clients: list[Planned]) -> Iterator[list[Future[Asked]]]:
    """The block runs while the clients ask; it is left when the last of them has ended or given up."""
    # A connection kept open would be one to a process that may be gone.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    headers = {"authorization": f"Bearer {key}"}
    with (
        httpx.Client(base_url=url, headers=headers, timeout=GIVES_UP_S, limits=limits) as http,
        ThreadPoolExecutor(MOST_AT_ONCE) as threads,
    ):
        began = time.monotonic()
        yield [threads.submit(ask, http, client, began) for client in clients]


def ask(http: httpx.Client, client: Planned, load_began: float) -> Asked:
    """Ask at its moment, and again as its kind does."""
    time.sleep(max(0.0, load_began + client.at_s - time.monotonic()))
    tries = _until_told(http, client)
    if client.asks_twice:
        tries += _until_told(http, client)
    return Asked(
        number=client.number,
        question=client.question,
        echoed=client.body["model"] == "null",
        may_expire=client.kind == "impatient",
        keyed=client.key is not None,
        tries=tries,
    )


def _until_told(http: httpx.Client, client: Planned) -> list[Try]:
    gives_up = time.monotonic() + GIVES_UP_S
    tries = [_try(http, client)]
    while client.key and not tries[-1].told and time.monotonic() < gives_up:
        time.sleep(ASKS_AGAIN_S)
        tries.append(_try(http, client))
    return tries


def _try(http: httpx.Client, client: Planned) -> Try:
    attempt = Try(began=time.monotonic())
    headers = {"idempotency-key": client.key} if client.key else {}
    try:
        with http.stream("POST", "/v1/chat/completions", json=client.body, headers=headers) as response:
            attempt.status = response.status_code
            attempt.request_id = response.headers.get("x-request-id")
            attempt.retry_after = "retry-after" in response.headers
            if client.streamed and attempt.status == OK:
                _hear_stream(attempt, response.iter_lines(), leaves=client.kind == "leaving")
            else:
                _hear(attempt, json.loads(response.read()))
    except (httpx.HTTPError, json.JSONDecodeError) as error:
        attempt.broken = repr(error)
    attempt.over = time.monotonic()
    return attempt


def _hear_stream(attempt: Try, lines: Iterator[str], *, leaves: bool) -> None:
    for line in lines:
        if line == "data: [DONE]":
            return
        if line.startswith("data: "):
            _hear(attempt, json.loads(line.removeprefix("data: ")))
        if leaves and attempt.text and not attempt.endings:
            attempt.left = True
            return
    attempt.broken = "the stream ended without [DONE]"


def _hear(attempt: Try, said: dict[str, Any]) -> None:
    """Take a completion, a chunk of one, or an error."""
    if "error" in said:
        attempt.endings.append(said["error"]["code"])
    for choice in said.get("choices", ()):
        attempt.text += (choice.get("delta") or choice.get("message") or {}).get("content") or ""
        if choice["finish_reason"]:
            attempt.endings.append(choice["finish_reason"])
