"""A team that writes, edits and removes documents whatever happens, and what it may expect in the end."""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random

import httpx

LOCKS = ("alder", "birch", "cedar", "damson", "elder", "fir")
EDITS = 18
GIVES_UP_S = 120.0
ASKS_AGAIN_S = 0.5
GONE = 404


@dataclass(frozen=True)
class Edit:
    """`metres` None: the document goes."""

    at_s: float
    lock: str
    metres: int | None


@dataclass(frozen=True)
class Written:
    """A document as its team left it; `file` None: it was never there."""

    lock: str
    file: str | None
    metres: int | None

    @property
    def question(self) -> str:
        return f"By how many metres does the lock called {self.lock} lift boats?"


def text(lock: str, metres: int) -> str:
    return f"# The lock called {lock}\n\nThe lock called {lock} lifts boats by {metres} metres.\n"


def plan(random: Random, load_s: float) -> list[Edit]:
    """Each document once, then edits of any of them; a number of metres is used once only."""
    moments = sorted(random.uniform(0, load_s) for _ in range(EDITS))
    locks = [*LOCKS, *random.choices(LOCKS, k=EDITS - len(LOCKS))]
    return [
        Edit(at_s, lock, None if number >= len(LOCKS) and random.random() < 0.2 else 100 + number)
        for number, (at_s, lock) in enumerate(zip(moments, locks, strict=True))
    ]


@contextmanager
def writing(url: str, key: str, edits: list[Edit]) -> Iterator[Future[list[Written]]]:
    """The block runs while the edits are made, one after the other; it is left when the last one was accepted."""
    with (
        httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=GIVES_UP_S) as http,
        ThreadPoolExecutor(1) as threads,
    ):
        yield threads.submit(_write, http, edits)


def _write(http: httpx.Client, edits: list[Edit]) -> list[Written]:
    began, written = time.monotonic(), {lock: Written(lock, None, None) for lock in LOCKS}
    for edit in edits:
        time.sleep(max(0.0, began + edit.at_s - time.monotonic()))
        file = written[edit.lock].file
        if edit.metres is None:
            _accepted(http, "DELETE", f"/v1/files/{file}", gone_is_fine=True)
        else:
            upload = {"file": (f"{edit.lock}.md", text(edit.lock, edit.metres))}
            file = _accepted(http, "POST", "/v1/files", files=upload, data={"purpose": "assistants"}).json()["id"]
        written[edit.lock] = Written(edit.lock, file, edit.metres)
    return list(written.values())


def _accepted(
    http: httpx.Client, method: str, path: str, *, gone_is_fine: bool = False, **body: object
) -> httpx.Response:
    """Send until it is accepted: the same document twice is the same document. Raises AssertionError."""
    gives_up = time.monotonic() + GIVES_UP_S
    while True:
        try:
            response = http.request(method, path, **body)  # type: ignore[arg-type]
        except httpx.HTTPError as error:
            seen = repr(error)
        else:
            if response.is_success or (gone_is_fine and response.status_code == GONE):
                return response
            seen = f"{response.status_code} {response.text}"
            if response.status_code != 503 or "retry-after" not in response.headers:
                raise AssertionError(f"{method} {path}: {seen}")
        if time.monotonic() > gives_up:
            raise AssertionError(f"{method} {path} was not accepted; last: {seen}")
        time.sleep(ASKS_AGAIN_S)
