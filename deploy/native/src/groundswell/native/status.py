"""What runs in a stack and what each process still lacks: the supervisor's list joined with the services' run files."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from groundswell.native import components, http_get, ports
from groundswell.native import settings as stack_settings
from groundswell.native.control import ask, supervisor_pid
from groundswell.native.errors import StackError
from groundswell.native.layout import Home
from groundswell.native.program import Program, load

READY_TIMEOUT_S = 2.0
COMMAND = ".venv/bin/groundswell"
"""What a person types in the checkout."""


class Record(BaseModel):
    """One process. `port` answers /healthz, /readyz and /metrics of a service; `missing` says why it is not ready.

    `api_port`: where an orchestrator alone answers what all answer together on the public port.
    """

    model_config = ConfigDict(frozen=True)

    service: str
    pid: int
    port: int | None
    instance: str
    component: bool
    ready: bool
    missing: dict[str, str]
    rss_bytes: int
    """With its child processes."""
    uptime_s: float
    api_port: int | None = None


class Status(BaseModel):
    """A stack as it is now. `http` is where clients ask; None while no orchestrator is meant to run."""

    model_config = ConfigDict(frozen=True)

    home: Path
    running: bool
    supervisor_pid: int | None
    http: str | None
    processes: tuple[Record, ...]
    stopped: tuple[str, ...] = ()
    """Services that were scaled to 0."""

    @property
    def ready(self) -> bool:
        return self.running and not self.stopped and all(record.ready for record in self.processes)


class RunFile(BaseModel):
    """What a service process says about itself in `run/<service>-<pid>.json`."""

    service: str
    pid: int
    port: int
    api_port: int | None = None
    instance: str


def status(home: Home) -> Status:
    pid = supervisor_pid(home)
    if pid is None:
        return Status(home=home.path, running=False, supervisor_pid=None, http=None, processes=())
    wanted = load(home.programs_file)
    http = f"http://127.0.0.1:{wanted.http_port}" if wanted.http_port else None
    return Status(
        home=home.path,
        running=True,
        supervisor_pid=pid,
        http=http,
        processes=tuple(processes(home, wanted.programs)),
        stopped=tuple(program.name for program in wanted.programs if program.copies == 0),
    )


def processes(home: Home, programs: Sequence[Program]) -> list[Record]:
    """The processes of these programs, those of one program oldest first."""
    told = run_files(home)
    answers = component_answers(home, [program.name for program in programs if program.component])
    return [
        _record(home, program, process, told.get(process), answers)
        for program in programs
        for process in pids(home, program.name)
    ]


def bring_back(service: str) -> str:
    """What a person types to run a service again that was scaled to 0."""
    return f"{COMMAND} scale {service} 1"


def pids(home: Home, name: str) -> list[int]:
    """Process ids of one supervised program, oldest first."""
    return sorted(int(pid) for pid in ask(home, "list", name=name).get("pids", ()))


def run_files(home: Home) -> dict[int, RunFile]:
    """By process id; files of dead processes and half-written ones are passed over."""
    found: dict[int, RunFile] = {}
    for path in sorted(home.run.glob("*-*.json")):
        try:
            told = RunFile.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            continue
        if psutil.pid_exists(told.pid):
            found[told.pid] = told
    return found


def component_answers(home: Home, names: list[str]) -> dict[str, bool]:
    """Whether each local component answers now."""
    if not names:
        return {}
    where = components.addresses(_settings_of(home), ports.read(home))
    return {name: question() for name, question in components.readiness(where).items() if name in names}


def _settings_of(home: Home) -> stack_settings.StackSettings:
    return stack_settings.load().model_copy(update={"state": home.path})


def _record(home: Home, program: Program, pid: int, told: RunFile | None, answers: dict[str, bool]) -> Record:
    missing = _missing(program, told, answers)
    port = ports.read(home).get(program.name) if program.component else told.port if told else None
    rss_bytes, uptime_s = _measures(pid)
    return Record(
        service=program.name,
        pid=pid,
        port=port,
        api_port=told.api_port if told else None,
        instance=told.instance if told else f"{program.name}-{pid}",
        component=program.component,
        ready=not missing,
        missing=missing,
        rss_bytes=rss_bytes,
        uptime_s=uptime_s,
    )


def _missing(program: Program, told: RunFile | None, answers: dict[str, bool]) -> dict[str, str]:
    if program.component:
        return {} if answers.get(program.name) else {program.name: "does not answer yet"}
    if told is None:
        return {program.name: "starting"}
    return ask_ready(told.port)


def ask_ready(port: int) -> dict[str, str]:
    """What a service says that it lacks; empty when it is ready."""
    try:
        code, body = http_get.get(f"http://127.0.0.1:{port}/readyz", READY_TIMEOUT_S)
    except OSError as error:
        return {"readyz": f"does not answer ({type(error).__name__})"}
    return {} if code == http_get.OK else _reasons(body, code)


def _reasons(body: bytes, code: int) -> dict[str, str]:
    try:
        missing = json.loads(body)["missing"]
        return {str(name): str(reason) for name, reason in missing.items()} or {"readyz": f"answered {code}"}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {"readyz": f"answered {code}"}


def _measures(pid: int) -> tuple[int, float]:
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        return sum(member.memory_info().rss for member in family), time.time() - process.create_time()
    except psutil.Error:
        return 0, 0.0


def require_service(home: Home, name: str) -> Program:
    """The program of that name in the running stack. Raises StackError naming those that there are."""
    programs = load(home.programs_file).programs if supervisor_pid(home) is not None else ()
    for program in programs:
        if program.name == name:
            return program
    known = ", ".join(program.name for program in programs) or "none: start the stack with `make up`"
    raise StackError(f"no service {name!r} runs here; running: {known}")
