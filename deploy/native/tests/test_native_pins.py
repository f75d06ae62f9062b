"""What is fetched is pinned, and what arrives is checked."""

import re
import tomllib
from pathlib import Path

import pytest

from groundswell.native import golang, kafka
from groundswell.native.pinned import PINS, parse_jars, sha256_of

CHECKOUT = Path(__file__).parents[3]
LOCK = (CHECKOUT / "requirements.lock").read_text(encoding="utf-8")


def test_the_jar_lock_is_flat_and_holds_one_version_of_everything() -> None:
    jars = kafka.locked_jars()
    names = [jar.artifact for jar in jars]
    assert len(names) == len(set(names))
    assert {"kafka_2.13", "kafka-clients", "log4j-core", "log4j-slf4j-impl", "scala-library"} <= set(names)
    assert {jar.version for jar in jars if jar.group == "org.apache.kafka"} == {kafka.VERSION}


@pytest.mark.parametrize("line", ["a:b:1", "a:b abc 1", f"a:b:1 {'0' * 64} many", f"a:b:1 {'0' * 63} 1"])
def test_a_damaged_line_of_the_lock_is_named(line: str) -> None:
    with pytest.raises(ValueError, match="not a line of a jar lock"):
        parse_jars(f"# comment\n{line}\n")


def test_a_checksum_is_taken_of_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "some.jar"
    path.write_bytes(b"12345")
    assert sha256_of(path) == "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5"


def test_the_lock_pins_every_direct_dependency_with_a_hash_and_no_address() -> None:
    assert "://" not in LOCK
    pinned = set(re.findall(r"^([a-z0-9-]+)==", LOCK, re.MULTILINE))
    assert len(re.findall(r"--hash=sha256:", LOCK)) >= len(pinned)
    for manifest in (CHECKOUT / "pyproject.toml", *CHECKOUT.glob("*/*/pyproject.toml")):
        assert _direct_dependencies(manifest) <= pinned, manifest


@pytest.mark.parametrize("name", ["kafka.jars.lock", "go.requirements", "weaviate/go.mod", "log4j2.properties"])
def test_pins_hold_names_and_checksums_but_no_addresses(name: str) -> None:
    assert "://" not in (PINS / name).read_text(encoding="utf-8")


def test_the_module_lock_covers_the_pinned_server() -> None:
    assert "github.com/weaviate/weaviate v1.39.2 h1:" in (PINS / "weaviate" / "go.sum").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26)),
        ("go version devel go1.27-abc", (1, 27)),
        ("command not found", (0, 0)),
    ],
)
def test_a_go_version_is_read_from_what_go_says(said: str, version: tuple[int, int]) -> None:
    assert golang.parse_version(said) == version


def _direct_dependencies(manifest: Path) -> set[str]:
    text = tomllib.loads(manifest.read_text(encoding="utf-8"))
    lines = [*text["project"].get("dependencies", ()), *text.get("dependency-groups", {}).get("dev", ())]
    names = {re.split(r"[\[<>=!~; ]", line, maxsplit=1)[0].lower().replace("_", "-") for line in lines}
    return {name for name in names if not name.startswith("groundswell-")}
