"""What long steps say, where an unprivileged server may lie, and how files are kept private."""

import io
import stat
from pathlib import Path

import pytest

from groundswell.native import credentials, kafka, layout, postgres
from groundswell.native.layout import Home
from groundswell.native.progress import Step


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_one_line_is_rewritten() -> None:
    stream = Terminal()
    with Step("Kafka", stream) as step:
        step.update("12 MB left")
        step.update("2 MB left")
    assert stream.getvalue().count("\n") == 0
    assert "\r\033[KKafka: 2 MB left (0 s)" in stream.getvalue()
    assert stream.getvalue().endswith("\r\033[K")


def test_elsewhere_a_short_step_says_nothing() -> None:
    stream = io.StringIO()
    with Step("Kafka", stream) as step:
        step.update("12 MB left")
    assert stream.getvalue() == ""


def test_elsewhere_a_wait_says_each_change_once() -> None:
    stream = io.StringIO()
    with Step("Services", stream) as step:
        for waits_for in ("ingest, embedder", "ingest, embedder", "embedder"):
            step.wait_for(waits_for)
    assert stream.getvalue() == "Services: waiting for ingest, embedder\nServices: waiting for embedder\n"


def test_on_a_terminal_no_line_wraps_as_a_wrapped_one_cannot_be_rewritten() -> None:
    stream = Terminal()
    with Step("Services", stream) as step:
        step.wait_for("kafka, " * 40)
    shown = stream.getvalue().split("\r\033[K")
    assert shown[1].startswith("Services: waiting for kafka, ")
    assert shown[1].endswith("… (0 s)")
    assert max(map(len, shown)) < 80


def test_an_interrupted_step_says_that_the_next_run_goes_on() -> None:
    stream = io.StringIO()
    with pytest.raises(KeyboardInterrupt), Step("Weaviate", stream):
        raise KeyboardInterrupt
    assert "Weaviate: interrupted" in stream.getvalue()
    assert "goes on from here" in stream.getvalue()


def test_a_failed_step_leaves_the_word_to_the_error() -> None:
    stream = io.StringIO()
    with pytest.raises(OSError, match="away"), Step("Weaviate", stream):
        raise OSError("away")
    assert stream.getvalue() == ""


def test_a_private_folder_on_the_way_makes_a_place_unreachable(tmp_path: Path) -> None:
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    (tmp_path / "outer").chmod(0o700)
    assert not postgres.is_reachable(inner)
    assert postgres.is_reachable(Path("/"))
    assert not postgres.is_reachable(Path("/not/there"))


def test_an_address_is_shown_without_its_password() -> None:
    assert postgres.address("postgresql://boss:secret@127.0.0.1:5433/x") == "127.0.0.1:5433"


def test_a_secret_is_made_once_and_is_its_owners(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    first = credentials.secret(home, "admin.key", prefix="gs_")
    assert first.startswith("gs_")
    assert len(first) > 40
    assert credentials.secret(home, "admin.key") == first
    assert credentials.secret(home, "other.key") != first
    assert stat.S_IMODE((home.secrets / "admin.key").stat().st_mode) == 0o600


def test_a_private_file_is_replaced_whole_and_stays_private(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    layout.write_private(path, "one")
    path.chmod(0o644)
    layout.write_private(path, "two")
    assert path.read_text() == "two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [found.name for found in path.parent.iterdir()] == ["file"]


def test_two_homes_have_different_keys_however_they_are_spelled(tmp_path: Path) -> None:
    assert Home.at(tmp_path / "a").key == Home.at(tmp_path / "b" / ".." / "a").key
    assert Home.at(tmp_path / "a").key != Home.at(tmp_path / "b").key


def test_topics_and_timestamps_are_the_brokers_to_decide() -> None:
    settings = dict(line.split("=", 1) for line in kafka.SETTINGS.splitlines())
    assert settings["auto.create.topics.enable"] == "false"
    assert settings["log.message.timestamp.type"] == "LogAppendTime"
    assert all("127.0.0.1" in settings[name] for name in ("listeners", "advertised.listeners"))


def test_a_port_where_nobody_speaks_kafka_is_not_ready() -> None:
    assert not kafka.is_ready("127.0.0.1:1", timeout_s=0.2)
