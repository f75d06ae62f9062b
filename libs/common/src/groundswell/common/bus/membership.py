"""Members of consumer groups that died without leaving.

A group waits for each of its members when another one joins, and for one that died until its session ends. So whoever
is started in place of a dead process would make all others stand still. It lets the dead one leave first.
"""

import os
import secrets
import socket
from collections.abc import Collection, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import structlog
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.group import LeaveGroupRequest

from groundswell.common.bus.admin import connected_admin
from groundswell.common.errors import Unavailable

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_CONTAINER = Path("/proc/self/ns/pid")

log = structlog.get_logger(__name__)


def client_id(service: str) -> str:
    """What this process calls itself to Kafka, so that its successor knows it: service, machine, process."""
    return f"{service}@{_machine()}#{os.getpid()}#{_process()}"


async def let_the_dead_leave(bootstrap: str, service: str, groups: Collection[str]) -> None:
    """Remove members of `groups` that were processes of `service` on this machine and are no more.

    What fails is only waited for, so nothing is raised.
    """
    with suppress(Unavailable):
        async with connected_admin(bootstrap) as admin:
            for group in groups:
                await _of_group(admin, service, group)


async def _of_group(admin: AIOKafkaAdminClient, service: str, group: str) -> None:
    coordinator = await admin.find_coordinator(group)
    for response in await admin.describe_consumer_groups([group], coordinator):
        for member in _dead(service, response):
            # Nothing public of the client does it for another member.
            left: Any = await admin._send_request(LeaveGroupRequest(group, member), coordinator)  # noqa: SLF001
            log.info("made a process that died leave its group", group=group, member=member, error=left.error_code)


def _dead(service: str, response: Any) -> Iterator[str]:
    for described in response.groups:
        for member_id, name, *_ in described[5]:
            if is_of_dead_process(name, service):
                yield member_id


def is_of_dead_process(name: str, service: str) -> bool:
    """Whether the client id `name` is that of a process of `service` that ran on this machine and runs no more."""
    owner, _, process = name.partition("#")
    pid, _, token = process.partition("#")
    if owner != f"{service}@{_machine()}" or not pid.isdecimal() or not token:
        return False
    if int(pid) == os.getpid():
        return token != _process()  # in a container everybody has the same id
    return not _is_alive(int(pid))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # somebody else's, or no id that can be
    return True


@cache
def _machine() -> str:
    """Process ids mean something on one host, until it is started again, and in one of its containers."""
    boot = _BOOT_ID.read_text(encoding="ascii").strip() if _BOOT_ID.exists() else "unknown"
    container = _CONTAINER.readlink().name if _CONTAINER.is_symlink() else "unknown"
    return f"{socket.gethostname()}/{boot}/{container}"


@cache
def _process() -> str:
    return secrets.token_hex(4)
