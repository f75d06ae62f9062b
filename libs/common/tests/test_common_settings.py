"""Settings: the environment first, then the env file; what is wrong is named and never quoted."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from groundswell.common.errors import Misconfigured
from groundswell.common.settings import (
    BlobSettings,
    ModelSettings,
    PostgresSettings,
    ServiceSettings,
    WeaviateSettings,
    cache_folder,
    default_home,
)


class Settings(PostgresSettings, WeaviateSettings, BlobSettings, ModelSettings, ServiceSettings):
    words: tuple[str, ...] = ()


class OtherWayRound(ServiceSettings, PostgresSettings):
    pass


GOOD = {
    "GROUNDSWELL_POSTGRES_URL": "postgresql://ingest:hush@127.0.0.1/groundswell",
    "GROUNDSWELL_WEAVIATE_API_KEY": "hush",
    "GROUNDSWELL_OBJECT_STORE_URL": "file:///tmp/blobs",
}


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home of the test's own, with nothing else of Groundswell in the environment."""
    for name in [name for name in os.environ if name.startswith("GROUNDSWELL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GROUNDSWELL_HOME", str(tmp_path))
    (tmp_path / "env").mkdir()
    return tmp_path


@pytest.fixture
def given(home: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A complete environment, to spoil."""
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_the_environment_is_read(given: pytest.MonkeyPatch, home: Path) -> None:
    given.setenv("GROUNDSWELL_KAFKA", "10.0.0.1:9092")
    settings = Settings.load("ingest")
    assert settings.kafka == "10.0.0.1:9092"
    assert settings.home == home
    assert settings.postgres_url.get_secret_value() == GOOD["GROUNDSWELL_POSTGRES_URL"]


def test_the_env_file_of_the_service_is_read_and_the_environment_wins(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [f"{name}={value}" for name, value in GOOD.items()]
    (home / "env" / "ingest.env").write_text("\n".join([*lines, "GROUNDSWELL_KAFKA=1:1", "GROUNDSWELL_DRAIN_S=3"]))
    monkeypatch.setenv("GROUNDSWELL_KAFKA", "2:2")
    settings = Settings.load("ingest")
    assert (settings.kafka, settings.drain_s) == ("2:2", 3)
    with pytest.raises(Misconfigured):
        Settings.load("embedder")


def test_what_is_missing_is_named_with_what_to_do(home: Path) -> None:
    with pytest.raises(Misconfigured) as caught:
        Settings.load("ingest")
    said = str(caught.value)
    assert all(name in said for name in GOOD)
    assert "ingest cannot start" in said
    assert "make up" in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GROUNDSWELL_DRAIN_S", "hush-soon"),
        ("GROUNDSWELL_HEALTH_PORT", "99999999"),
        ("GROUNDSWELL_TORCH_THREADS", "0"),
        ("GROUNDSWELL_SESSION_S", "0.001"),
        ("GROUNDSWELL_WORDS", "hush, not json"),
    ],
)
def test_what_is_wrong_is_named_and_never_quoted(given: pytest.MonkeyPatch, name: str, value: str) -> None:
    given.setenv(name, value)
    with pytest.raises(Misconfigured) as caught:
        Settings.load("ingest")
    said = str(caught.value)
    assert name in said or name.removeprefix("GROUNDSWELL_").lower() in said
    assert value not in said
    assert "hush" not in said


def test_no_secret_shows_when_settings_are_printed(given: pytest.MonkeyPatch) -> None:
    assert "hush" not in repr(Settings.load("ingest"))


def test_settings_are_frozen(given: pytest.MonkeyPatch) -> None:
    settings = Settings.load("ingest")
    with pytest.raises(ValidationError, match="frozen"):
        settings.kafka = "elsewhere"  # type: ignore[misc]


def test_the_order_of_the_parts_does_not_matter(given: pytest.MonkeyPatch) -> None:
    assert OtherWayRound.load("ingest").postgres_url.get_secret_value().startswith("postgresql://")


def test_variables_of_others_are_no_error(given: pytest.MonkeyPatch) -> None:
    given.setenv("GROUNDSWELL_SOMETHING_ELSE", "1")
    Settings.load("ingest")


def test_an_env_file_that_cannot_be_read_is_named(given: pytest.MonkeyPatch, home: Path) -> None:
    (home / "env" / "ingest.env").write_bytes(b"GROUNDSWELL_KAFKA=\xff\xfe")
    with pytest.raises(Misconfigured, match=r"ingest\.env cannot be read"):
        Settings.load("ingest")


def test_a_home_may_be_written_as_people_write_it(given: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given.setenv("HOME", str(tmp_path))
    given.setenv("GROUNDSWELL_HOME", "~/state")
    assert default_home() == tmp_path / "state"
    assert Settings.load("ingest").home == tmp_path / "state"


def test_without_a_word_home_is_in_the_checkout_around_here(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GROUNDSWELL_HOME")
    (home / "pyproject.toml").write_text("[tool.uv.workspace]\n")
    inside = home / "libs" / "x"
    inside.mkdir(parents=True)
    (inside / "pyproject.toml").write_text("[project]\n")
    monkeypatch.chdir(inside)
    assert default_home() == home / ".groundswell"


def test_outside_of_a_checkout_home_is_the_users(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GROUNDSWELL_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.chdir(home)
    assert default_home() == Path("/home/somebody/.groundswell")


def test_caches_honour_the_users_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/me")
    assert cache_folder() == Path("/var/cache/me/groundswell")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert cache_folder() == Path("/home/somebody/.cache/groundswell")
