"""Kafka, Weaviate, PostgreSQL and the object store of a stack: local ones, or those that the settings name."""

from collections.abc import Callable
from dataclasses import dataclass

from groundswell.native import kafka, postgres, weaviate
from groundswell.native.layout import private_folder
from groundswell.native.program import Program
from groundswell.native.settings import StackSettings


@dataclass(frozen=True)
class Addresses:
    """Where the components of one stack answer. `postgres_admin` and `weaviate_api_key` are secret."""

    kafka: str
    weaviate_url: str
    weaviate_grpc_port: int
    weaviate_api_key: str
    postgres_admin: str
    object_store_url: str

    def __repr__(self) -> str:
        return f"Addresses(kafka={self.kafka!r}, weaviate_url={self.weaviate_url!r}, ...)"


def is_local(settings: StackSettings) -> dict[str, bool]:
    return {
        "kafka": settings.kafka is None,
        "weaviate": settings.weaviate_url is None,
        "postgres": settings.postgres_url is None,
    }


def provide(settings: StackSettings) -> None:
    """Fetches and builds what the local ones need; quick when it is there."""
    local = is_local(settings)
    if local["kafka"]:
        kafka.provide()
    if local["weaviate"]:
        weaviate.provide()
    if local["postgres"]:
        postgres.wheel_folder()


def addresses(settings: StackSettings, ports: dict[str, int]) -> Addresses:
    home = settings.home
    given_key = settings.weaviate_api_key.get_secret_value() if settings.weaviate_api_key else ""
    blobs = home.path / "blobs"
    return Addresses(
        kafka=settings.kafka or kafka.bootstrap(ports),
        weaviate_url=settings.weaviate_url or weaviate.url(ports),
        weaviate_grpc_port=settings.weaviate_grpc_port if settings.weaviate_url else ports["weaviate_grpc"],
        weaviate_api_key=given_key if settings.weaviate_url else weaviate.api_key(home),
        postgres_admin=settings.postgres_url.get_secret_value()
        if settings.postgres_url
        else postgres.admin_url(home, ports),
        object_store_url=settings.object_store_url or blobs.as_uri(),
    )


def programs(settings: StackSettings, ports: dict[str, int]) -> list[Program]:
    """Prepares the local components' folders and says how each is run."""
    home, local = settings.home, is_local(settings)
    if settings.object_store_url is None:
        private_folder(home.path / "blobs")
    wanted: list[Program] = []
    if local["kafka"]:
        kafka.prepare(home, ports)
        wanted.append(kafka.program(home))
    if local["weaviate"]:
        wanted.append(weaviate.program(home, ports))
    if local["postgres"]:
        postgres.prepare(home)
        wanted.append(postgres.program(home, ports))
    return wanted


def readiness(where: Addresses) -> dict[str, Callable[[], bool]]:
    """One question per component: does it answer now?"""
    return {
        "kafka": lambda: kafka.is_ready(where.kafka),
        "weaviate": lambda: weaviate.is_ready(where.weaviate_url),
        "postgres": lambda: postgres.is_ready(where.postgres_admin),
    }
