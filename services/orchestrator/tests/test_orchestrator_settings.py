"""What the environment may say, and what stops the start."""

from pathlib import Path

import pytest

from groundswell.common.errors import Misconfigured
from groundswell.common.tiers import Tier
from groundswell.orchestrator.settings import Settings


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GROUNDSWELL_HOME", str(tmp_path))
    monkeypatch.setenv("GROUNDSWELL_POSTGRES_URL", "postgresql://orchestrator:secret-word@127.0.0.1/groundswell")
    monkeypatch.setenv("GROUNDSWELL_OBJECT_STORE_URL", f"file://{tmp_path}/blobs")


def test_the_defaults_are_complete(tmp_path: Path) -> None:
    settings = Settings.load("orchestrator")
    assert settings.http_port == 8080
    assert settings.admin_key_path == tmp_path / "secrets" / "admin.key"
    assert settings.limits.deadline_s[Tier.INTERACTIVE] == 120.0
    assert set(settings.limits.deadline_s) == set(Tier)
    assert "secret-word" not in repr(settings)


def test_limits_are_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROUNDSWELL_QUESTION_LIMIT_CHARS", "77")
    monkeypatch.setenv("GROUNDSWELL_DEADLINE_BULK_S", "5")
    limits = Settings.load("orchestrator").limits
    assert limits.question_chars == 77
    assert limits.deadline_s[Tier.BULK] == 5.0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GROUNDSWELL_HTTP_PORT", "70000"),
        ("GROUNDSWELL_QUESTION_LIMIT_CHARS", "1000000"),
        ("GROUNDSWELL_DEADLINE_INTERACTIVE_S", "0"),
        ("GROUNDSWELL_LONGEST_DEADLINE_S", "1e9"),
    ],
)
def test_a_wrong_value_stops_the_start_and_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(Misconfigured, match=name):
        Settings.load("orchestrator")
