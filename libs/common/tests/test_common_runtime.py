"""A service process: health while it waits, work, drain, and a clear end when a setting is wrong."""

import json
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from groundswell.common.blobs import Blobs
from groundswell.common.bus.admin import ensure_topics
from groundswell.common.testing.bench import SERVICE, Ask, Bench, Line, bench_on
from groundswell.common.testing.compliance import (
    RunningService,
    ServiceUnderTest,
    assert_complies,
    assert_logs,
    assert_refuses_a_wrong_setting,
)
from groundswell.common.testing.waiting import eventually, until

pytestmark = pytest.mark.connected
TINY = Path(__file__).parent / "tiny_service.py"


def tiny(home: Path, kafka: str, line: str = "tiny", **environment: str) -> ServiceUnderTest:
    given = {"GROUNDSWELL_KAFKA": kafka, "GROUNDSWELL_LINE": line, "GROUNDSWELL_SESSION_S": "2", **environment}
    return ServiceUnderTest(SERVICE, [sys.executable, str(TINY)], given, home)


async def alive(running: RunningService) -> bool:
    return (await running.get("/healthz")).status == 200


async def test_a_service_complies_with_the_spec(bench: Bench, tmp_path: Path) -> None:
    await ensure_topics(bench.kafka)
    await assert_complies(tiny(tmp_path, bench.kafka, bench.line.name))


async def test_a_service_finds_what_lies_in_its_claim_store(components: Any, tmp_path: Path) -> None:
    store = (tmp_path / "claims").as_uri()
    async with bench_on(components.kafka, blobs=Blobs(store)) as bench:
        await ensure_topics(bench.kafka)
        await bench.publisher.publish(bench.ask(1, payload=Ask(number=1, note="x" * 2_000_000)))
        async with tiny(tmp_path, bench.kafka, bench.line.name, GROUNDSWELL_CLAIM_STORE_URL=store).started():
            await bench.until_answered(1)


async def test_a_claim_store_that_is_none_is_named(tmp_path: Path) -> None:
    async with tiny(tmp_path, "127.0.0.1:1", GROUNDSWELL_CLAIM_STORE_URL="hush").started() as running:
        assert await running.exited() == 2
    (line,) = running.log().strip().splitlines()
    assert "GROUNDSWELL_CLAIM_STORE_URL" in line
    assert "hush" not in line


async def test_a_service_waits_for_kafka_and_goes_on_by_itself(stopped_kafka: Any, tmp_path: Path) -> None:
    line = Line.new()
    async with tiny(tmp_path, stopped_kafka.address, line.name).started() as running:
        await eventually(lambda: alive(running))
        await eventually(lambda: _lacks(running, "kafka", "KafkaConnectionError"))
        await stopped_kafka.start()
        await eventually(lambda: _lacks(running, "kafka", "Kafka lacks"))
        await ensure_topics(stopped_kafka.address)
        async with bench_on(stopped_kafka.address, line=line) as bench:
            await running.until_ready()
            await bench.asks([1])
            await bench.until_answered(1)
            stopped_kafka.kill()
            await eventually(lambda: _lacks(running, "kafka", "Kafka at"))
        running.terminate()
        assert await running.exited() == 0


async def test_a_service_names_everything_that_is_missing(tmp_path: Path) -> None:
    async with tiny(tmp_path, "127.0.0.1:1").started(GROUNDSWELL_DOOR="/nowhere") as running:
        await eventually(lambda: alive(running))
        assert await running.missing() == {"door": "the door is closed", "kafka": "not opened yet"}


async def test_a_resource_that_goes_away_and_comes_back_shows_in_readiness(bench: Bench, tmp_path: Path) -> None:
    await ensure_topics(bench.kafka)
    door = tmp_path / "door"
    async with tiny(tmp_path, bench.kafka, bench.line.name, GROUNDSWELL_DOOR=str(door)).started() as running:
        await eventually(lambda: alive(running))
        door.touch()
        await running.until_ready()
        door.unlink()
        await eventually(lambda: _lacks(running, "door"))
        door.touch()
        await running.until_ready()


async def test_a_last_preparation_waits_for_what_it_needs(bench: Bench, tmp_path: Path) -> None:
    await ensure_topics(bench.kafka)
    window = tmp_path / "window"
    async with tiny(tmp_path, bench.kafka, bench.line.name, GROUNDSWELL_WINDOW=str(window)).started() as running:
        await eventually(lambda: alive(running))
        await eventually(lambda: _lacks(running, SERVICE, "the window is closed"))
        window.touch()
        await running.until_ready()


async def test_a_signal_drains_what_runs(bench: Bench, tmp_path: Path) -> None:
    await ensure_topics(bench.kafka)
    hold = tmp_path / "hold"
    hold.touch()
    async with tiny(tmp_path, bench.kafka, bench.line.name, GROUNDSWELL_HOLD=str(hold)).started() as running:
        await running.until_ready()
        await bench.asks([1])
        await until(lambda: '"handling"' in running.log())
        running.terminate()
        await until(lambda: '"draining"' in running.log())
        hold.unlink()
        assert await running.exited() == 0
    assert await bench.answered() == [1]


async def test_what_a_killed_process_had_in_hand_is_done_by_the_next(bench: Bench, tmp_path: Path) -> None:
    await ensure_topics(bench.kafka)
    hold = tmp_path / "hold"
    hold.touch()
    service = tiny(tmp_path, bench.kafka, bench.line.name, GROUNDSWELL_HOLD=str(hold))
    async with service.started() as doomed:
        await doomed.until_ready()
        await bench.asks([1])
        await until(lambda: '"handling"' in doomed.log())
        doomed.process.kill()
    async with service.started(GROUNDSWELL_HOLD=""):
        await bench.until_answered(1)


async def test_a_bug_is_logged_without_what_it_quotes(bench: Bench, tmp_path: Path) -> None:
    await ensure_topics(bench.kafka)
    async with tiny(tmp_path, bench.kafka, bench.line.name).started() as running:
        await bench.publisher.publish(bench.ask(-1, payload=Ask(number=-1, note="the text of a document")))
        await eventually(lambda: _outcomes(bench))
        log = running.log()
    assert "the text of a document" not in log
    failed = [json.loads(line) for line in log.splitlines() if "handler failed" in line]
    assert [entry["attempt"] for entry in failed] == [1, 2, 3]
    assert "tiny_service.py" in failed[0]["exception"]
    assert failed[0]["exception"].endswith("builtins.ValueError")
    assert (failed[0]["correlation_id"], failed[0]["tenant"], failed[0]["tier"]) == ("req_-1", "red", "standard")
    assert len(failed[0]["trace_id"]) == 32
    assert_logs(log, SERVICE)


async def test_wrong_settings_end_the_start_with_one_line(tmp_path: Path) -> None:
    await assert_refuses_a_wrong_setting(tiny(tmp_path, "127.0.0.1:1"))


async def test_a_health_port_that_is_taken_ends_the_start_with_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        async with tiny(tmp_path, "127.0.0.1:1").started(GROUNDSWELL_HEALTH_PORT=port) as running:
            assert await running.exited() == 2
    assert f"GROUNDSWELL_HEALTH_PORT: {port} cannot be served on" in running.log()


async def _lacks(running: RunningService, name: str, reason: str = "") -> bool:
    missing = await running.missing()
    assert reason in missing[name] if name in missing else False, missing
    return True


async def _outcomes(bench: Bench) -> list[object]:
    return list(await bench.outcomes())
