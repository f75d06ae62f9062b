import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from groundswell.encoders.catalogue import catalogue
from groundswell.encoders.commands import main
from groundswell.encoders.folders import STAGING

STORE = [sys.executable, "-m", "groundswell.encoders.store"]


@pytest.fixture
def models_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GROUNDSWELL_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        yield server


def test_an_unknown_model_is_one_line_with_the_known_names(
    models_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pull", "minilm", "gpt-9"]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "unknown model 'gpt-9'" in err
    assert not models_dir.exists()


def test_ls_as_json_is_one_document_with_every_model(models_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", "--json"]) == 0
    out, err = capsys.readouterr()
    listed = json.loads(out)
    assert err == ""
    assert listed["folder"] == str(models_dir)
    assert [model["name"] for model in listed["models"]] == list(catalogue())
    pulled = {model["name"]: model["pulled"] for model in listed["models"]}
    assert pulled == {"minilm": False, "qwen2.5-0.5b": False, "smollm2-135m": False, "null": True}


def test_ls_shows_every_model(models_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in catalogue())


def test_the_models_folder_follows_the_cache_folder_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GROUNDSWELL_MODELS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    main(["ls", "--json"])
    assert json.loads(capsys.readouterr().out)["folder"] == str(tmp_path / "groundswell" / "models")


def test_an_interrupted_command_ends_its_download_and_says_how_to_go_on(
    models_dir: Path, listener: socket.socket
) -> None:
    index = f"http://127.0.0.1:{listener.getsockname()[1]}/simple"
    environment = {**os.environ, "PIP_INDEX_URL": index, "PIP_FIND_LINKS": ""}
    with subprocess.Popen([*STORE, "pull", "minilm"], env=environment, stderr=subprocess.PIPE, text=True) as command:
        client, _ = listener.accept()  # the download has begun, and this registry never answers
        command.send_signal(signal.SIGINT)
        _, err = command.communicate(timeout=30)
        client.settimeout(30)
        while client.recv(4096):  # ends when the downloading process is gone
            pass
        client.close()
    assert command.returncode == 130
    assert err.splitlines()[-1] == "interrupted; the next pull goes on from here"
    assert list((models_dir / STAGING / "minilm").iterdir()) == []
