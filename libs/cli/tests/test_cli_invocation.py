"""What a hint tells a person to type works as it stands."""

import os
from pathlib import Path

import pytest

from groundswell.cli.invocation import command, hint


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command is installed, and the working folder around it."""
    folder = tmp_path / "checkout" / ".venv" / "bin"
    folder.mkdir(parents=True)
    (folder / "groundswell").touch(mode=0o755)
    monkeypatch.setattr("sys.executable", str(folder / "python"))
    monkeypatch.setenv("PATH", os.defpath)
    monkeypatch.chdir(tmp_path / "checkout")
    return folder


def test_a_command_that_is_not_on_the_path_is_named_by_where_it_lies(environment: Path) -> None:
    assert hint("status") == "`.venv/bin/groundswell status`"


def test_outside_the_checkout_it_is_named_in_full(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert command() == str(environment / "groundswell")


def test_a_command_on_the_path_is_named_alone(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(environment))
    assert command() == "groundswell"
