"""The six services of a stack: how each is run, and the env file that each reads."""

import os
import shutil
import sys
from collections.abc import Iterable, Mapping

from groundswell.common.settings import PREFIX
from groundswell.common.topics import CATALOGUE, Event, Topic
from groundswell.native import credentials
from groundswell.native.budget import thread_budget
from groundswell.native.components import Addresses
from groundswell.native.errors import StackError
from groundswell.native.layout import Home, write_private
from groundswell.native.program import Program
from groundswell.native.settings import StackSettings, load

SERVICES = ("ingest", "embedder", "retriever", "orchestrator", "generator", "moderator")
STOP_TIMEOUT_S = 30.0
EMBEDDER_NICENESS = 10
MOST_COPIES = 64

_WEAVIATE_USERS = ("embedder", "retriever")
_BLOB_USERS = ("ingest", "embedder", "orchestrator")
_MODEL_USERS = ("ingest", "embedder", "retriever", "generator", "orchestrator")
_LANGUAGE_MODEL_USERS = ("generator", "orchestrator")
_DECIDED_HERE = (
    "API_KEY",
    "CLAIM_STORE_URL",
    "CPU_BUDGET",
    "HOME",
    "HTTP_FD",
    "HTTP_PORT",
    "KAFKA",
    "MODEL",
    "MODELS",
    "OBJECT_STORE_URL",
    "POSTGRES_URL",
    "TEST_HOME",
    "TORCH_THREADS",
    "URL",
    "UV",
    "WEAVIATE_API_KEY",
    "WEAVIATE_GRPC_PORT",
    "WEAVIATE_URL",
)
_PASSED_ON = (
    "HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "LANG",
    "LC_ALL",
    "NO_PROXY",
    "PATH",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TMPDIR",
    "TZ",
    "USER",
    "XDG_CACHE_HOME",
)


def admin_key(home: Home) -> str:
    """The operators' first key: the command line reads it from its file, the orchestrator stores its hash."""
    return credentials.secret(home, "admin.key", prefix="gs_")


def write_env_files(settings: StackSettings, where: Addresses, dsns: Mapping[str, str]) -> None:
    """One file per service with what that service needs and nothing that only another one needs."""
    for service in SERVICES:
        lines = [f"{PREFIX}{name}={_quoted(value)}" for name, value in _variables(service, settings, where, dsns)]
        write_private(settings.home.env / f"{service}.env", "\n".join(lines) + "\n")


def _quoted(value: str) -> str:
    """As dotenv files are read: nothing in single quotes is expanded."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _variables(
    service: str, settings: StackSettings, where: Addresses, dsns: Mapping[str, str]
) -> Iterable[tuple[str, str]]:
    yield "HOME", str(settings.home.path)
    yield "KAFKA", where.kafka
    yield "CLAIM_STORE_URL", settings.claim_store_url or (settings.home.path / "claims").as_uri()
    if service in dsns:
        yield "POSTGRES_URL", dsns[service]
    if service in _WEAVIATE_USERS:
        yield "WEAVIATE_URL", where.weaviate_url
        yield "WEAVIATE_GRPC_PORT", str(where.weaviate_grpc_port)
        yield "WEAVIATE_API_KEY", where.weaviate_api_key
    if service in _BLOB_USERS:
        yield "OBJECT_STORE_URL", where.object_store_url
    if service in _MODEL_USERS:
        yield "MODELS", str(settings.models)
    if service in _LANGUAGE_MODEL_USERS:
        yield "MODEL", settings.model
    if service == "orchestrator":
        yield "ADMIN_KEY_FILE", str(settings.home.secrets / "admin.key")
    budget = thread_budget(settings.cpu_budget)
    if service in budget:
        yield "TORCH_THREADS", str(budget[service])


def programs(settings: StackSettings) -> list[Program]:
    return [_program(service, settings) for service in SERVICES]


def _program(service: str, settings: StackSettings) -> Program:
    command: tuple[str, ...] = (sys.executable, "-m", f"groundswell.{service}")
    if service == "embedder" and (nice := shutil.which("nice")):
        command = (nice, "-n", str(EMBEDDER_NICENESS), *command)
    return Program(
        name=service,
        command=command,
        env=_environment(service, settings, os.environ),
        inherits_http=service == "orchestrator",
        stop_timeout_s=STOP_TIMEOUT_S,
    )


def _environment(service: str, settings: StackSettings, shell: Mapping[str, str]) -> dict[str, str]:
    """A few plain variables of the shell, and its GROUNDSWELL_ ones that the env files do not decide.

    Credentials of given object stores go to those that use one. The real environment wins over an env file, so an
    administrator's database URL in the shell must not get here.
    """
    decided = {f"{PREFIX}{name}" for name in _DECIDED_HERE}
    env = {name: shell[name] for name in _PASSED_ON if name in shell}
    env |= {name: value for name, value in shell.items() if name.startswith(PREFIX) and name not in decided}
    blobs_elsewhere = service in _BLOB_USERS and settings.object_store_url is not None
    if blobs_elsewhere or settings.claim_store_url is not None:
        env |= {name: value for name, value in shell.items() if name.startswith("AWS_")}
    threads = str(thread_budget(settings.cpu_budget).get(service, 1))
    return env | {
        f"{PREFIX}HOME": str(settings.home.path),
        "OMP_NUM_THREADS": threads,
        "PYTHONUNBUFFERED": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


def number_of_copies(text: str) -> int:
    """Raises StackError for what is no number of processes that can be meant."""
    if text not in map(str, range(MOST_COPIES + 1)):
        raise StackError(f"N={text} is no number of processes: give a whole number from 0 to {MOST_COPIES}, such as 2")
    return int(text)


def require_scalable(program: Program) -> None:
    """Raises StackError for what runs once only."""
    if program.component:
        raise StackError(
            f"{program.name} is one process on one machine: only services can be scaled ({', '.join(SERVICES)})"
        )


def idle_copies(service: str, copies: int, catalogue: Iterable[Topic] = CATALOGUE) -> str | None:
    """What to say of processes that would have nothing to do: a partition feeds one process at a time."""
    shared = [
        topic.partitions
        for topic in catalogue
        if service in topic.consumers and not (isinstance(topic, Event) and topic.broadcast)
    ]
    busy = max(shared, default=copies)
    if copies <= busy:
        return None
    return (
        f"{service} reads topics of at most {busy} partitions, so {copies - busy} of {copies} processes have nothing "
        "to do; more partitions are set in common/topics.py"
    )


def share_threads(home: Home, service: str, copies: int) -> bool:
    """Divides a service's threads among its processes; those that start from now on read it.

    True if each has fewer now: together with processes that started before they would have more than the machine.
    """
    budget = thread_budget(load().cpu_budget)
    path = home.env / f"{service}.env"
    if service not in budget or not path.exists():
        return False
    name = f"{PREFIX}TORCH_THREADS="
    lines = path.read_text(encoding="utf-8").splitlines()
    before = next((int(line.removeprefix(name).strip("'")) for line in lines if line.startswith(name)), 0)
    share = max(1, budget[service] // max(1, copies))
    kept = [line for line in lines if not line.startswith(name)]
    write_private(path, "\n".join([*kept, f"{name}{share}"]) + "\n")
    return share < before
