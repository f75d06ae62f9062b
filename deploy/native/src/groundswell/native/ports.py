"""Loopback ports of one stack: chosen free at the first start, kept, chosen again only when somebody else has one.

They lie below the range from which systems take ports for outgoing connections, so that a stopped stack does not lose
them by chance. A registry in the cache folder keeps two checkouts of one user apart even while neither runs.
"""

import json
import random
import socket
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from groundswell.common.settings import cache_folder
from groundswell.native.errors import StackError
from groundswell.native.layout import Home, exclusive

COMPONENT_PORTS = (
    "kafka",
    "kafka_controller",
    "postgres",
    "weaviate",
    "weaviate_grpc",
    "weaviate_gossip",
    "weaviate_exchange",
    "weaviate_raft",
    "weaviate_raft_internal",
)
FIRST, LAST = 20_000, 32_000
DEFAULT_HTTP_PORT = 8080


def is_free(port: int) -> bool:
    """Whether a server could listen there now, on every interface as on loopback."""
    for host in ("127.0.0.1", "0.0.0.0"):  # noqa: S104 - asked, never served: some components listen everywhere
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                return False
    return True


def assign(
    kept: Mapping[str, int], names: Collection[str], foreign: Collection[int], free: Callable[[int], bool], start: int
) -> dict[str, int]:
    """Keeps each kept port that is free and nobody else's; gives the other names the next such ports after start."""
    chosen = {name: port for name, port in kept.items() if name in names and port not in foreign and free(port)}
    taken = {*chosen.values(), *foreign}
    candidates = (port for port in _from(start) if port not in taken and free(port))
    for name in names:
        if name not in chosen:
            chosen[name] = next(candidates, 0)
    if 0 in chosen.values():
        raise StackError(f"no free loopback port between {FIRST} and {LAST}: stop something that listens there")
    return chosen


def _from(start: int) -> Iterator[int]:
    yield from range(start, LAST)
    yield from range(FIRST, start)


def next_free(port: int, free: Callable[[int], bool] = is_free) -> int:
    """The port itself when it is free, else the next free one above it."""
    for candidate in range(port, min(port + 200, 65_536)):
        if free(candidate):
            return candidate
    raise StackError(f"no free port from {port} on: set GROUNDSWELL_HTTP_PORT to another one")


def claim(home: Home, names: Collection[str] = COMPONENT_PORTS) -> dict[str, int]:
    """The ports of a stack that is not running: read, repaired, written, and registered for this home."""
    with _registry() as folder:
        ports = assign(read(home), names, _foreign(folder, home), is_free, random.randrange(FIRST, LAST))  # noqa: S311
        home.ports_file.write_text(json.dumps(ports, indent=1))
        (folder / f"{home.key}.json").write_text(json.dumps({"home": str(home.path), "ports": sorted(ports.values())}))
    return ports


def read(home: Home) -> dict[str, int]:
    if not home.ports_file.exists():
        return {}
    return {name: int(port) for name, port in json.loads(home.ports_file.read_text()).items()}


def release(home: Home) -> None:
    with _registry() as folder:
        (folder / f"{home.key}.json").unlink(missing_ok=True)


@contextmanager
def _registry() -> Iterator[Path]:
    folder = cache_folder() / "ports"
    with exclusive(folder / "lock"):
        yield folder


def _foreign(folder: Path, home: Home) -> set[int]:
    """Ports of other homes; an entry whose home is gone is dropped."""
    foreign: set[int] = set()
    for entry in folder.glob("*.json"):
        row = json.loads(entry.read_text())
        if not Path(row["home"]).exists():
            entry.unlink()
        elif row["home"] != str(home.path):
            foreign.update(row["ports"])
    return foreign
