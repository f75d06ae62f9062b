"""What the doctor says, on the Python of a machine that has nothing else."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from groundswell.native import doctor
from groundswell.native.doctor import Check


def test_an_old_python_is_told_what_to_do() -> None:
    check = doctor.check_python((3, 10, 13))
    assert not check.fine
    assert "3.11" in check.advice


def test_a_new_python_is_fine() -> None:
    assert doctor.check_python((3, 15, 0)).fine


@pytest.mark.parametrize(("system", "machine", "fine"), [("Linux", "x86_64", True), ("Darwin", "arm64", False)])
def test_only_machines_that_all_components_run_on_are_fine(system: str, machine: str, fine: bool) -> None:
    assert doctor.check_machine(system, machine).fine is fine


def test_a_small_disk_is_named_with_its_need(tmp_path: Path) -> None:
    check = doctor.check_disk(tmp_path / "not" / "there", 10**9, "downloads")
    assert not check.fine
    assert "1000000000 GiB" in check.advice


def test_little_memory_is_a_note_and_not_a_stop() -> None:
    lines, may_start = doctor.report([doctor.check_memory(1.0)])
    assert lines[0].startswith("note memory: 1.0 GiB")
    assert may_start


def test_available_memory_is_read_in_gib(tmp_path: Path) -> None:
    path = tmp_path / "meminfo"
    path.write_text("MemTotal: 25165824 kB\nMemAvailable: 12582912 kB\n")
    assert doctor.available_memory_gib(path) == 12.0
    assert doctor.available_memory_gib(tmp_path / "none") is None


def test_a_serious_finding_stops_the_start() -> None:
    lines, may_start = doctor.report([Check("python", True, "3.11"), Check("venv", False, "missing", "install it")])
    assert lines == ["ok   python: 3.11", "FAIL venv: missing - install it"]
    assert not may_start


def test_it_runs_as_a_plain_script_without_the_environment() -> None:
    result = subprocess.run(
        [sys.executable, "-I", "-S", doctor.__file__], check=False, capture_output=True, text=True, timeout=30
    )
    assert "python:" in result.stdout
    assert result.stderr == ""


def test_an_older_python_can_read_it() -> None:
    ast.parse(Path(doctor.__file__).read_text(encoding="utf-8"), feature_version=(3, 8))
