import io

from rich.console import Console

from groundswell.encoders.progress import PullProgress, shown_progress


def shown(*, terminal: bool) -> str:
    screen = io.StringIO()
    with shown_progress(Console(file=screen, force_terminal=terminal, width=100)) as progress:
        pull_something(progress)
    return screen.getvalue()


def pull_something(progress: PullProgress) -> None:
    progress.step("made-up: wheel 1/2", 2_000_000)
    progress.reached(500_000)
    progress.step("made-up: converting")


def test_a_log_gets_one_plain_line_per_step() -> None:
    assert shown(terminal=False) == "made-up: wheel 1/2 (2.0 MB)\nmade-up: converting\n"


def test_a_terminal_gets_bars_with_sizes() -> None:
    screen = shown(terminal=True)
    assert "0.5/2.0 MB" in screen
    assert "made-up: converting" in screen


def test_nothing_pulled_shows_nothing() -> None:
    screen = io.StringIO()
    with shown_progress(Console(file=screen, force_terminal=False)):
        pass
    assert screen.getvalue() == ""
