"""Whatever is killed, stopped or scaled under load: each accepted request ends once, each document is right."""

import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest

from soaking import documents
from soaking.faults import FAULTS, Fault
from soaking.load import plan, under_load
from soaking.oracle import Disturbance, violations
from soaking.quiet import dead_letters, kept_requests, settle

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

CLIENTS_PER_S = 4
AROUND_S = 30.0
"""Requests come for that much longer than the faults are expected to take."""
FAULTS_IN_A_ROW = 6
SETTLED_WITHIN_S = 60.0
LIVE_WITHIN_S = 90.0
HOME = documents.text("home", 7)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_nothing_is_lost_or_doubled_by(fault: Fault, seed: int, stack: Any, wait_until: Callable[..., Any]) -> None:
    soak([fault], f"{fault.name}-{seed}", Random(f"{fault.name} {seed}"), stack, wait_until)


def test_nothing_is_lost_or_doubled_by_one_fault_after_another(
    seed: int, stack: Any, wait_until: Callable[..., Any]
) -> None:
    random = Random(seed)
    faults = random.sample(FAULTS, FAULTS_IN_A_ROW)
    soak(faults, f"one-after-another-{seed}", random, stack, wait_until)


# A test that fails shows its arguments, the faults and their order among them.
def soak(faults: Sequence[Fault], name: str, random: Random, stack: Any, wait_until: Callable[..., Any]) -> None:
    readers, writers = stack.key_for(f"readers-{name}"), stack.key_for(f"writers-{name}")
    home = stack.upload("home.md", HOME, readers)
    wait_until(lambda: stack.file_status(home, readers) == "processed", what="the readers' document", within_s=60)
    buried = dead_letters(stack)
    load_s = AROUND_S + sum(fault.takes_s for fault in faults)
    clients, edits = plan(random, round(CLIENTS_PER_S * load_s), load_s), documents.plan(random, load_s)

    with under_load(stack.url, readers, clients) as asking, documents.writing(stack.url, writers, edits) as writing:
        time.sleep(random.uniform(5, AROUND_S / 2))
        disturbance = strike(faults, stack, wait_until)
    asked = [each.result() for each in asking]

    left = [f"left to do: {what}: {count}" for what, count in settle(stack, SETTLED_WITHIN_S).items()]
    kept = kept_requests(stack, {request_id for each in asked for request_id in each.ids}, readers)
    wrong = left + violations(asked, kept, disturbance)
    assert not wrong, "\n".join(wrong)
    assert dead_letters(stack) == buried
    require_newest(writing.result(), writers, stack, wait_until)


def strike(faults: Sequence[Fault], stack: Any, wait_until: Callable[..., Any]) -> Disturbance:
    began = time.monotonic()
    for fault in faults:
        fault.strike(stack, wait_until)
    wait_until(lambda: stack.is_whole, what="everything ready", within_s=90, every_s=0.5)
    return Disturbance(
        began,
        time.monotonic(),
        breaks_connections=any(fault.breaks_connections for fault in faults),
        turns_away=any(fault.turns_away for fault in faults),
    )


def require_newest(written: Sequence[documents.Written], key: str, stack: Any, wait_until: Callable[..., Any]) -> None:
    """Each document is what its team made of it last, and answers come from nothing else."""
    states = {document.lock: "processed" if document.metres else "HTTP 404" for document in written}

    def seen() -> dict[str, str]:
        return {document.lock: stack.file_status(document.file, key) for document in written}

    wait_until(lambda: seen() == states, what=f"{states}", within_s=LIVE_WITHIN_S, every_s=1.0)
    for document in written:
        answer = stack.ask(document.question, key)
        quoted = [
            citation["quote"]
            for citation in answer["groundswell"]["citations"]
            if f"{document.lock}.md" == citation["name"]
        ]
        if document.metres is None:
            assert quoted == []
        else:
            assert f"{document.metres} metres" in answer["choices"][0]["message"]["content"]
