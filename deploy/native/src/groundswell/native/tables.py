"""What `status` and `components` show to a person."""

from collections.abc import Sequence

from rich.table import Table

from groundswell.native import components, ports, postgres
from groundswell.native.settings import StackSettings
from groundswell.native.status import COMMAND, Record, Status, bring_back
from groundswell.native.waiting import describe


def of_status(now: Status) -> Table | str:
    if not now.running:
        return f"Nothing runs in {now.home}. Start it with `make up`."
    table = Table(title=f"{now.http or 'components only'}  ({now.home})", title_justify="left", box=None)
    for heading in ("service", "pid", "port", "memory", "up", "state"):
        table.add_column(heading, justify="right" if heading in ("pid", "port", "memory", "up") else "left")
    for record in now.processes:
        table.add_row(*_cells(record))
    for service in now.stopped:
        table.add_row(service, "", "", "", "", f"scaled to 0: {bring_back(service)}")
    return table


def _cells(record: Record) -> tuple[str, ...]:
    state = "ready" if record.ready else f"waits for {describe(record.missing)}"
    memory = f"{record.rss_bytes / 1e6:.0f} MB"
    return record.service, str(record.pid), str(record.port or ""), memory, f"{record.uptime_s:.0f} s", state


def of_scaled(service: str, ready: Sequence[int], copies: int) -> str:
    """What runs after a scale; only what is ready counts."""
    listed = f" ({', '.join(map(str, ready))})" if ready else ""
    missing = copies - len(ready)
    rest = f"; {missing} not ready yet: `{COMMAND} status` says why" if missing > 0 else ""
    return f"{service}: {len(ready)} running{listed}{rest}"


def of_components(settings: StackSettings) -> Table | str:
    known = ports.read(settings.home)
    if not known and all(components.is_local(settings).values()):
        return "This stack was never started. Start it with `make up`."
    where = components.addresses(settings, known)
    table = Table(box=None, show_header=False)
    table.add_row("kafka", where.kafka)
    table.add_row("weaviate", f"{where.weaviate_url} (gRPC {where.weaviate_grpc_port})")
    table.add_row("postgres", postgres.address(where.postgres_admin))
    table.add_row("object store", where.object_store_url)
    return table
