"""Weaviate: one binary, built once from its Go module at a pinned version, kept in the cache.

Its gRPC and cluster ports listen on every interface, so API keys are on even locally, and what needs no key there
(profiles, metrics) is off.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from groundswell.common.settings import cache_folder
from groundswell.native import golang, http_get
from groundswell.native.credentials import secret
from groundswell.native.errors import ProvisionError
from groundswell.native.layout import Home, exclusive, private_folder
from groundswell.native.pinned import PINS, sha256_of
from groundswell.native.program import Program
from groundswell.native.progress import Step

VERSION = "1.39.2"
MODULE = "github.com/weaviate/weaviate"
PACKAGE = f"{MODULE}/cmd/weaviate-server"


def binary() -> Path:
    return cache_folder() / "weaviate" / VERSION / "weaviate-server"


def is_provided() -> bool:
    return binary().is_file() and _checksum_file().is_file()


def _checksum_file() -> Path:
    return binary().with_name("weaviate-server.sha256")


def provide() -> None:
    """Builds the binary when there is none that matches the checksum taken when it was built.

    The modules are verified against the committed go.sum. Caches of an interrupted build are kept, so that the next
    one goes on; those of a finished one, over 4 GB, are deleted. A second checkout that builds too waits for the first.
    """
    with exclusive(binary().with_name("lock")):
        if not (is_provided() and sha256_of(binary()) == _checksum_file().read_text().strip()):
            _build_and_keep()


def _build_and_keep() -> None:
    workshop = private_folder(binary().parent / "build")
    with Step(f"Weaviate {VERSION}") as step:
        built = _build(workshop, step)
        _checksum_file().write_text(sha256_of(built))
        built.replace(binary())
        step.update("deleting the build's caches")
        shutil.rmtree(workshop)


def _build(workshop: Path, step: Step) -> Path:
    go = golang.find_or_fetch(step)
    module = workshop / "module"
    shutil.copytree(PINS / "weaviate", module, dirs_exist_ok=True)
    env = _build_env(workshop)
    step.update("fetching its Go modules")
    total = sum(1 for _ in _lines([go, "list", "-deps", PACKAGE], module, env, step))
    built = workshop / "weaviate-server"
    command = [go, "build", "-v", "-trimpath", "-ldflags", "-s -w", "-o", str(built), PACKAGE]
    for count, package in enumerate(_lines(command, module, env, step), start=1):
        step.update(f"built {count} of about {total} packages, {package}")
    return built


def _build_env(workshop: Path) -> dict[str, str]:
    """Registry settings of the person stay (GOPROXY and its kin); flags that change the result do not."""
    return {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOCACHE": str(workshop / "objects"),
        "GOFLAGS": "-mod=readonly -modcacherw",
        "GOMODCACHE": str(workshop / "modules"),
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }


def _lines(command: list[str], folder: Path, env: dict[str, str], step: Step) -> Iterator[str]:
    """What a Go command says, line by line. Raises ProvisionError with the end of it when the command fails."""
    said: list[str] = []
    with subprocess.Popen(
        command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as running:
        for line in running.stdout or ():
            said = [*said[-20:], line.rstrip()]
            if line.startswith("go: downloading"):
                step.update(f"fetching {line.split()[2]}")
            else:
                yield line.strip()
    if running.returncode:
        raise ProvisionError(f"Weaviate could not be built ({' '.join(command[:2])}):\n" + "\n".join(said))


def api_key(home: Home) -> str:
    return secret(home, "weaviate.key")


def program(home: Home, ports: Mapping[str, int]) -> Program:
    command = (str(binary()), "--host", "127.0.0.1", "--port", str(ports["weaviate"]), "--scheme", "http")
    return Program(name="weaviate", command=command, env=_server_env(home, ports), component=True)


def _server_env(home: Home, ports: Mapping[str, int]) -> dict[str, str]:
    raft = ports["weaviate_raft"]
    return {
        "PATH": "/usr/bin:/bin",
        "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "false",
        "AUTHENTICATION_APIKEY_ALLOWED_KEYS": api_key(home),
        "AUTHENTICATION_APIKEY_ENABLED": "true",
        "AUTHENTICATION_APIKEY_USERS": "groundswell",
        "AUTHORIZATION_ADMINLIST_ENABLED": "true",
        "AUTHORIZATION_ADMINLIST_USERS": "groundswell",
        "AUTOSCHEMA_ENABLED": "false",
        "CLUSTER_ADVERTISE_ADDR": "127.0.0.1",
        "CLUSTER_BASIC_AUTH_PASSWORD": secret(home, "weaviate_cluster.password"),
        "CLUSTER_BASIC_AUTH_USERNAME": "groundswell",
        "CLUSTER_BIND_ADDR": "127.0.0.1",
        "CLUSTER_DATA_BIND_PORT": str(ports["weaviate_exchange"]),
        "CLUSTER_GOSSIP_BIND_PORT": str(ports["weaviate_gossip"]),
        "CLUSTER_HOSTNAME": "node1",
        "CLUSTER_IN_LOCALHOST": "true",
        "DEFAULT_VECTORIZER_MODULE": "none",
        "DISABLE_TELEMETRY": "true",
        "ENABLE_MODULES": "",
        "GO_PROFILING_DISABLE": "true",
        "GOMEMLIMIT": str(_memory_limit_bytes(psutil.virtual_memory().total)),
        "GRPC_PORT": str(ports["weaviate_grpc"]),
        "LIMIT_RESOURCES": "true",
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "warning",
        "PERSISTENCE_DATA_PATH": str(home.path / "weaviate"),
        "PROMETHEUS_MONITORING_ENABLED": "false",
        "QUERY_DEFAULTS_LIMIT": "25",
        "RAFT_BOOTSTRAP_EXPECT": "1",
        "RAFT_INTERNAL_RPC_PORT": str(ports["weaviate_raft_internal"]),
        "RAFT_JOIN": f"node1:{raft}",
        "RAFT_PORT": str(raft),
        "RAFT_TIMEOUTS_MULTIPLIER": "1",
    }


def _memory_limit_bytes(machine_bytes: int) -> int:
    """A soft limit for its collector: a quarter of the machine, and never so little that a small index suffers."""
    return max(1 << 30, machine_bytes // 4)


def url(ports: Mapping[str, int]) -> str:
    return f"http://127.0.0.1:{ports['weaviate']}"


def is_ready(address: str, timeout_s: float = 1.0) -> bool:
    try:
        return http_get.get(f"{address.rstrip('/')}/v1/.well-known/ready", timeout_s)[0] == http_get.OK
    except OSError:
        return False
