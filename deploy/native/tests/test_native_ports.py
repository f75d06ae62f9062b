"""Ports are kept while they can be, and never shared."""

import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundswell.native import ports
from groundswell.native.errors import StackError
from groundswell.native.layout import Home

PORTS = st.integers(ports.FIRST, ports.FIRST + 60)
NAMES = ("kafka", "postgres", "weaviate")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@given(
    kept=st.dictionaries(st.sampled_from(NAMES), PORTS),
    foreign=st.frozensets(PORTS, max_size=20),
    busy=st.frozensets(PORTS, max_size=20),
    start=PORTS,
)
def test_ports_are_distinct_free_nobody_elses_and_kept_where_possible(
    kept: dict[str, int], foreign: frozenset[int], busy: frozenset[int], start: int
) -> None:
    chosen = ports.assign(kept, NAMES, foreign, lambda port: port not in busy, start)
    assert set(chosen) == set(NAMES)
    assert not set(chosen.values()) & (foreign | busy)
    for name, port in kept.items():
        if port not in foreign | busy and list(kept.values()).count(port) == 1:
            assert chosen[name] == port
    if len(set(kept.values())) == len(kept):
        assert len(set(chosen.values())) == len(NAMES)


def test_a_name_that_is_no_longer_used_is_dropped() -> None:
    assert ports.assign({"zookeeper": 20_001}, ("kafka",), (), lambda _: True, 20_001) == {"kafka": 20_001}


def test_a_full_range_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(StackError, match="no free loopback port"):
        ports.assign({}, ("kafka",), (), lambda _: False, ports.FIRST)


def test_a_port_somebody_listens_on_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not ports.is_free(port)
        assert ports.next_free(port) > port


def test_ports_survive_a_restart(tmp_path: Path) -> None:
    home = _home(tmp_path / "one")
    assert ports.claim(home) == ports.claim(home)


def test_a_port_taken_by_somebody_else_is_chosen_again(tmp_path: Path) -> None:
    home = _home(tmp_path / "one")
    before = ports.claim(home)
    with socket.create_server(("127.0.0.1", before["kafka"])):
        after = ports.claim(home)
    assert after["kafka"] != before["kafka"]
    assert {**after, "kafka": 0} == {**before, "kafka": 0}


def test_two_homes_never_share_a_port_even_while_neither_runs(tmp_path: Path) -> None:
    one, two = _home(tmp_path / "one"), _home(tmp_path / "two")
    first = ports.claim(one)
    two.ports_file.write_text(one.ports_file.read_text())  # a copied checkout brings the file along
    assert not set(first.values()) & set(ports.claim(two).values())


def test_ports_of_a_home_that_is_gone_are_free_again(tmp_path: Path) -> None:
    one, two = _home(tmp_path / "one"), _home(tmp_path / "two")
    first = ports.claim(one)
    two.ports_file.write_text(one.ports_file.read_text())
    ports.release(one)
    assert ports.claim(two) == first


def _home(path: Path) -> Home:
    home = Home.at(path)
    home.create()
    return home
