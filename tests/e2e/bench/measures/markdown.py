"""What the pages of every part share: tables, verdicts, and the circumstances below them."""

from collections.abc import Iterable, Iterator, Sequence

from measures.measured import Circumstances


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The first column to the left, the others to the right."""
    yield f"| {' | '.join(heads)} |"
    yield "|---|" + "---:|" * (len(heads) - 1)
    for row in rows:
        yield f"| {' | '.join(row)} |"


def kept(is_kept: bool) -> str:
    return "kept" if is_kept else "**broken**"


def taken_at(at: Circumstances) -> str:
    return f"Taken {at.date} at commit {at.commit}; load average {at.load_before} before, {at.load_after} after."


def machine_section(circumstances: Iterable[Circumstances]) -> str:
    """Measures of one machine and one lock share a line."""
    lines = dict.fromkeys(_machine(at) for at in circumstances)
    return "\n".join(["## Machine and versions\n", *(f"- {line}" for line in lines), ""]) if lines else ""


def _machine(at: Circumstances) -> str:
    return f"{at.machine}; " + ", ".join(f"{name} {version}" for name, version in at.versions.items())
