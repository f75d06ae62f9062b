"""What the supervisor is told to run, and what each service is allowed to know."""

import signal
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from groundswell.common.topics import ATTEMPT_CANCELLED, GENERATE_ANSWER
from groundswell.native import ports, services
from groundswell.native.arbiter import watcher_for
from groundswell.native.components import Addresses
from groundswell.native.control import SOCKET_PATH_LIMIT, endpoint, supervisor_pid
from groundswell.native.database import ROLES, role_url
from groundswell.native.errors import StackError
from groundswell.native.layout import Home
from groundswell.native.program import Program, Programs, load, save
from groundswell.native.settings import StackSettings
from groundswell.native.settings import load as load_settings

ADDRESSES = Addresses(
    kafka="127.0.0.1:20001",
    weaviate_url="http://127.0.0.1:20002",
    weaviate_grpc_port=20003,
    weaviate_api_key="index-key",
    postgres_admin="postgresql://boss:admin-password@127.0.0.1:20004/postgres",
    object_store_url="file:///blobs",
)
DSNS = {role: role_url(ADDRESSES.postgres_admin, "groundswell", role, f"{role}-password") for role in ROLES}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StackSettings:
    monkeypatch.setenv("GROUNDSWELL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GROUNDSWELL_CPU_BUDGET", "8")
    loaded = load_settings()
    loaded.home.create()
    return loaded


def test_every_service_is_run_from_the_same_environment(settings: StackSettings) -> None:
    programs = {program.name: program for program in services.programs(settings)}
    assert tuple(programs) == services.SERVICES
    assert all(program.command[-2:] == ("-m", f"groundswell.{name}") for name, program in programs.items())
    assert [name for name, program in programs.items() if program.inherits_http] == ["orchestrator"]
    assert programs["embedder"].command[1:3] == ("-n", "10")


def test_a_service_learns_its_own_credentials_and_nobody_elses(settings: StackSettings) -> None:
    services.write_env_files(settings, ADDRESSES, DSNS)
    for service in services.SERVICES:
        text = (settings.home.env / f"{service}.env").read_text()
        assert "admin-password" not in text
        assert {role for role in ROLES if f"{role}-password" in text} == {service} & set(ROLES)
        assert ("index-key" in text) is (service in ("embedder", "retriever"))
        assert ("file:///blobs" in text) is (service in ("embedder", "ingest", "orchestrator"))
        assert f"CLAIM_STORE_URL='{(settings.home.path / 'claims').as_uri()}'" in text


def test_env_files_are_for_their_owner_only(settings: StackSettings) -> None:
    services.write_env_files(settings, ADDRESSES, DSNS)
    for path in settings.home.env.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(settings.home.env.stat().st_mode) == 0o700


def test_values_come_back_from_an_env_file_as_they_were(settings: StackSettings) -> None:
    class Reader(BaseSettings):
        model_config = SettingsConfigDict(env_prefix="GROUNDSWELL_", extra="ignore")

        postgres_url: SecretStr
        torch_threads: int

    odd = {**DSNS, "embedder": "postgresql://embedder:a'b$HOME \\ \"#c@127.0.0.1/x"}
    services.write_env_files(settings, ADDRESSES, odd)
    read = Reader(_env_file=settings.home.env / "embedder.env")
    assert read.postgres_url.get_secret_value() == odd["embedder"]
    assert read.torch_threads == 4


def test_an_administrators_url_in_the_shell_reaches_no_service(
    settings: StackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROUNDSWELL_POSTGRES_URL", ADDRESSES.postgres_admin)
    monkeypatch.setenv("GROUNDSWELL_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    monkeypatch.setenv("SOME_TOKEN", "secret")
    for program in services.programs(settings):
        assert "GROUNDSWELL_POSTGRES_URL" not in program.env
        assert "SOME_TOKEN" not in program.env
        assert program.env["GROUNDSWELL_OTLP_ENDPOINT"] == "http://127.0.0.1:4318"


def test_threads_are_divided_among_the_copies_of_a_service(settings: StackSettings) -> None:
    services.write_env_files(settings, ADDRESSES, DSNS)
    assert services.share_threads(settings.home, "generator", 3), "processes that run have too many now"
    assert not services.share_threads(settings.home, "generator", 3)
    lines = (settings.home.env / "generator.env").read_text().splitlines()
    assert [line for line in lines if "TORCH_THREADS" in line] == ["GROUNDSWELL_TORCH_THREADS=2"]
    assert "GROUNDSWELL_KAFKA='127.0.0.1:20001'" in lines
    assert not services.share_threads(settings.home, "generator", 1), "having fewer than one may is no harm"
    assert not services.share_threads(settings.home, "moderator", 3)


def test_a_component_cannot_be_scaled_and_what_can_is_named() -> None:
    with pytest.raises(StackError, match="generator, moderator"):
        services.require_scalable(Program(name="x", command=("x",), env={}, component=True))


@pytest.mark.parametrize("text", ["-1", "65", "x", "1.5", "", "²", "9" * 5000])
def test_what_is_no_number_of_processes_is_refused(text: str) -> None:
    with pytest.raises(StackError, match="a whole number from 0 to 64"):
        services.number_of_copies(text)
    assert services.number_of_copies("64") == 64


@pytest.mark.parametrize(("service", "copies", "idle"), [("generator", 4, None), ("generator", 6, "2 of 6")])
def test_processes_beyond_the_partitions_are_told_of(service: str, copies: int, idle: str | None) -> None:
    topics = [
        replace(GENERATE_ANSWER, partitions=4),
        replace(ATTEMPT_CANCELLED, consumers=("generator",), partitions=9),
    ]
    told = services.idle_copies(service, copies, topics)
    assert (told is None) if idle is None else (told is not None and idle in told)


def test_a_service_without_topics_of_its_own_has_no_bound() -> None:
    assert services.idle_copies("nobody", 64) is None


def test_programs_come_back_as_they_were_saved(settings: StackSettings) -> None:
    wanted = Programs(programs=tuple(services.programs(settings)), http_port=8081)
    save(settings.home, wanted)
    assert load(settings.home.programs_file) == wanted
    assert stat.S_IMODE(settings.home.programs_file.stat().st_mode) == 0o600


def test_a_watcher_runs_the_command_word_by_word(settings: StackSettings) -> None:
    program = Program(
        name="postgres",
        command=("/with space/postgres", "-c", "a=b c"),
        env={"A": "1"},
        component=True,
        stop_signal=int(signal.SIGINT),
    )
    watcher = watcher_for(program, settings.home)
    assert (watcher.cmd, watcher.args) == ("'/with space/postgres'", ["-c", "a=b c"])
    assert (watcher.env, watcher.stop_signal, watcher.numprocesses) == ({"A": "1"}, signal.SIGINT, 1)
    watcher.stdout_stream.close()


def test_the_http_socket_is_named_in_the_arguments_where_circus_fills_it_in(settings: StackSettings) -> None:
    program = Program(name="orchestrator", command=("python",), env={}, inherits_http=True)
    watcher = watcher_for(program, settings.home)
    assert watcher.args == ["GROUNDSWELL_HTTP_FD=$(circus.sockets.http)", "python"]
    assert watcher.use_sockets
    watcher.stdout_stream.close()


def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROUNDSWELL_HTTP_PORT", "many")
    with pytest.raises(StackError, match="GROUNDSWELL_HTTP_PORT"):
        load_settings()


def test_a_control_socket_fits_however_deep_the_home_lies(tmp_path: Path) -> None:
    home = Home.at(tmp_path / ("d" * 60) / ("e" * 60))
    home.create()
    with endpoint(home, "control") as address:
        assert len(address.removeprefix("ipc://")) < SOCKET_PATH_LIMIT


def test_a_pid_file_of_a_dead_supervisor_says_nothing(tmp_path: Path) -> None:
    home = Home.at(tmp_path / "home")
    home.create()
    assert supervisor_pid(home) is None
    (home.run / "supervisor.lock").write_text("1")
    assert supervisor_pid(home) is None


def test_addresses_never_show_their_secrets() -> None:
    assert "password" not in repr(ADDRESSES)
    assert "key" not in repr(ADDRESSES).replace("weaviate_api_key", "")


def test_component_ports_are_all_used_by_name() -> None:
    assert len(set(ports.COMPONENT_PORTS)) == len(ports.COMPONENT_PORTS)
