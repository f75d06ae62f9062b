"""Whether everything that a stack is meant to run is there and ready."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from groundswell.native.errors import NotReadyError
from groundswell.native.layout import Home
from groundswell.native.program import Program, load
from groundswell.native.status import Record, ask_ready, bring_back, processes

DEATHS_TO_GIVE_UP = 5


class Completeness:
    """Asks about one start. A service that dies again and again ends the wait early instead of using up its time.

    `only` asks about one service. Processes in `without` do not count, as they are about to end; those in `as_they_are`
    count whether they are ready or not.
    """

    def __init__(
        self,
        home: Home,
        *,
        only: str | None = None,
        without: Collection[int] = (),
        as_they_are: Collection[int] = (),
    ) -> None:
        self._home = home
        self._only = only
        self._without = frozenset(without)
        self._as_they_are = frozenset(as_they_are)
        self._seen: defaultdict[str, set[int]] = defaultdict(set)

    def lacking(self) -> dict[str, str]:
        """Program names with what they lack. Raises NotReadyError for one that does not stay alive or is not to run."""
        wanted = load(self._home.programs_file)
        programs = [program for program in wanted.programs if self._only in (None, program.name)]
        require_copies(programs)
        records = [record for record in processes(self._home, programs) if record.pid not in self._without]
        self._count_deaths(records, programs)
        lacking = shortcomings(programs, records, self._as_they_are)
        front_door = wanted.http_port if self._only is None else None
        if not lacking and front_door is not None and (missing := ask_ready(front_door)):
            lacking["orchestrator"] = _said(missing)
        return lacking

    def _count_deaths(self, records: Iterable[Record], programs: Iterable[Program]) -> None:
        for record in records:
            self._seen[record.service].add(record.pid)
        for program in programs:
            if len(self._seen[program.name]) > program.copies + DEATHS_TO_GIVE_UP:
                log = self._home.logs / f"{program.name}.log"
                raise NotReadyError(f"{program.name} dies again and again; see {log}; the rest runs until `make down`")


def require_copies(programs: Iterable[Program]) -> None:
    """Raises NotReadyError for a service scaled to 0: no wait ends while nothing is to run."""
    for program in programs:
        if program.copies == 0:
            raise NotReadyError(f"{program.name} is scaled to 0; bring it back: {bring_back(program.name)}")


def shortcomings(
    programs: Iterable[Program], records: Iterable[Record], as_they_are: Collection[int] = ()
) -> dict[str, str]:
    """Every copy of every program has to be there and, but for the processes `as_they_are`, to be ready."""
    lacking: dict[str, str] = {}
    for program in programs:
        mine = [record for record in records if record.service == program.name]
        reasons = [_said(record.missing) for record in mine if record.missing and record.pid not in as_they_are]
        if len(mine) < program.copies:
            reasons.append("starting")
        if reasons:
            lacking[program.name] = "; ".join(dict.fromkeys(reasons))
    return lacking


def _said(missing: Mapping[str, str]) -> str:
    names: defaultdict[str, list[str]] = defaultdict(list)
    for name, reason in missing.items():
        names[reason].append(name)
    return "; ".join(", ".join(lacking) + (f": {reason}" if reason else "") for reason, lacking in names.items())
