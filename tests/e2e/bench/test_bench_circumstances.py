"""Which commit numbers belong to."""

import subprocess
from pathlib import Path

from measures.circumstances import _commit


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=bench", "-c", "user.email=bench@localhost")
    command = ["git", "-C", str(folder), *who, *arguments]
    subprocess.run(command, check=True, capture_output=True)


def test_numbers_that_are_written_again_leave_a_commit_clean_and_other_changes_do_not(tmp_path: Path) -> None:
    assert _commit(tmp_path) == "unknown"
    numbers, code = tmp_path / "docs" / "bench" / "part.json", tmp_path / "code.py"
    numbers.parent.mkdir(parents=True)
    numbers.write_text("1")
    code.write_text("1")
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "one")
    clean = _commit(tmp_path)
    numbers.write_text("2")
    assert _commit(tmp_path) == clean
    code.write_text("2")
    assert _commit(tmp_path) == f"{clean}-dirty"
