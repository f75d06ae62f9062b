"""Writes what is derived from the catalogue: `python -m groundswell.common.generate [--check | --breaking] [FOLDER]`.

`docs/topics.md` is for readers; `docs/topics.golden.json` is who sends what to whom, so that a change of the graph
between services is seen in review; `docs/topics.schemas.json` is the JSON Schema of each payload. A change of it that
is not additive is refused, as processes of both versions run side by side; `--breaking` writes it all the same.
`--check` writes nothing and exits 1 when a file is not what it should be.
"""

import argparse
import difflib
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from groundswell.common.tiers import WEIGHTS, Tier
from groundswell.common.topics import CATALOGUE, CLOCK, Command, Event, Reply, Topic, physical_topics

KIB = 1024
HOUR_MS = 3_600_000
HOURS_A_DAY = 24
SCHEMAS = "docs/topics.schemas.json"
REFUSED = "not additive: give the topic a new version, or write it with --breaking if no process of the old one runs"
HINT = "run `make generate` and commit what it writes"

HEADER = """\
# Topics

Generated from `groundswell.common.topics`; do not edit it here.

A command belongs to its one consumer and has a topic for each tier; an event is a fact and belongs to its producer; a
reply topic carries the outcomes of commands back to who asked. Partitions, retention and limit hold for each Kafka
topic. What cannot be handled lies on a dead-letter topic for 14 days, with the tier in a header.
"""


def topics_page() -> str:
    """docs/topics.md."""
    sections = [HEADER, f"Tiers: {_tiers()}.\n"]
    for kind, heading, intro in (
        (Command, "Commands", "Physical name: `<name>.<tier>.v<version>`."),
        (Reply, "Replies", "Physical name: `<name>.v<version>`."),
        (Event, "Events", "Physical name: `<name>.v<version>`. A broadcast is read whole by every process."),
    ):
        of_kind = [topic for topic in CATALOGUE if isinstance(topic, kind)]
        sections += [f"## {heading}\n\n{intro}\n", _overview(of_kind), *map(_section, of_kind)]
    sections.append(
        f"In all {len(physical_topics())} Kafka topics, with the dead letters and `{CLOCK.name}`: each process writes "
        "an empty record to it when it starts, and learns the brokers' time.\n"
    )
    return "\n".join(sections)


def graph() -> str:
    """docs/topics.golden.json: for each service what it takes, from whom, and what it sends, to whom."""
    services = sorted({name for topic in CATALOGUE for name in (*topic.producers, *topic.consumers)})
    edges = {
        service: {
            "takes": {topic.name: sorted(topic.producers) for topic in CATALOGUE if service in topic.consumers},
            "sends": {topic.name: sorted(topic.consumers) for topic in CATALOGUE if service in topic.producers},
        }
        for service in services
    }
    return json.dumps(edges, indent=2, sort_keys=True) + "\n"


def schemas() -> str:
    """docs/topics.schemas.json: the JSON Schema of each payload by type name, as a reader must take it."""
    payloads = {payload.type_name(): payload for topic in CATALOGUE for payload in topic.payloads}
    found = {name: payload.model_json_schema(mode="validation") for name, payload in payloads.items()}
    return json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def breaks(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What keeps a process that knows the schemas `after` from working beside one that knows `before`, a line each.

    Additive are new payloads and new fields that need not be given; what is said of a field may change.
    """
    known = _parts(after)
    return [line for name, old in _parts(before).items() for line in _part_breaks(name, old, known.get(name))]


FILES: Mapping[str, Callable[[], str]] = {
    "docs/topics.md": topics_page,
    "docs/topics.golden.json": graph,
    SCHEMAS: schemas,
}


def write(folder: Path) -> None:
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content(), encoding="utf-8")


def drift(folder: Path) -> list[str]:
    """One line for each file that is not what it should be: its name, and the first difference."""
    found = []
    for name, content in FILES.items():
        path = folder / name
        there = path.read_text(encoding="utf-8") if path.is_file() else ""
        if there != content():
            found.append(f"{name}: {_first_difference(there, content())}; {HINT}")
    return found


def refusals(folder: Path) -> list[str]:
    """One line for each change of the schemas that is not additive."""
    path = folder / SCHEMAS
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return [f"{SCHEMAS}: {line}; {REFUSED}" for line in breaks(before, json.loads(schemas()))]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m groundswell.common.generate")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is not as it should be")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(), help="root of the checkout")
    parser.add_argument("--breaking", action="store_true", help="also what is not additive: no older process runs")
    chosen = parser.parse_args(arguments)
    if chosen.check:
        lines = drift(chosen.folder)
    else:
        lines = [] if chosen.breaking else refusals(chosen.folder)
        if not lines:
            write(chosen.folder)
    for line in lines:
        sys.stderr.write(f"{line}\n")
    return 1 if lines else 0


def _parts(schemas_by_type: Mapping[str, Any]) -> dict[str, Any]:
    """Each payload, and each type inside of one."""
    inside = {f"{name}/{part}": found for name, whole in schemas_by_type.items() for part, found in _inner(whole)}
    return {**schemas_by_type, **inside}


def _inner(schema: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    inner: Mapping[str, Any] = schema.get("$defs", {})
    return inner.items()


def _part_breaks(name: str, old: Mapping[str, Any], new: Mapping[str, Any] | None) -> list[str]:
    if new is None:
        return [f"{name} is gone"]
    if "properties" not in old:
        return [] if _bare(old) == _bare(new) else [f"{name} has other values"]
    before, after = old["properties"], new.get("properties", {})
    gone = [f"{name}.{field} is gone" for field in before if field not in after]
    others = [f for f in before if f in after and _bare(before[f]) != _bare(after[f])]
    needed = sorted(set(new.get("required", ())) - set(old.get("required", ())))
    return [
        *gone,
        *(f"{name}.{field} is of another type" for field in others),
        *(f"{name}.{field} must be given" for field in needed),
    ]


def _bare(schema: Any) -> Any:
    """Without what is only said of it."""
    if isinstance(schema, Mapping):
        return {key: _bare(value) for key, value in schema.items() if key not in {"title", "description", "default"}}
    return [_bare(value) for value in schema] if isinstance(schema, list) else schema


def _overview(topics: Sequence[Topic]) -> str:
    rows = [f"| `{topic.name}` | {topic.purpose} | {_way(topic)} | {topic.key} |" for topic in topics]
    return "\n".join(["| topic | what for | from -> to | key |", "|---|---|---|---|", *rows, ""])


def _way(topic: Topic) -> str:
    return f"{_words(topic.producers)} -> {_words(topic.consumers)}"


def _section(topic: Topic) -> str:
    rows = "\n".join(f"| {name} | {value} |" for name, value in _facts(topic).items())
    return f"### `{topic.name}`\n\n| | |\n|---|---|\n{rows}\n"


def _facts(topic: Topic) -> dict[str, str]:
    facts = {
        "owner": topic.owner,
        "payloads": _code(payload.type_name() for payload in topic.payloads),
    }
    if isinstance(topic, Command):
        facts["outcomes"] = _code(payload.type_name() for payload in topic.outcomes)
        facts["tiers"] = _words(tier.value for tier in Tier)
    broadcast = isinstance(topic, Event) and topic.broadcast
    return facts | {
        "partitions": str(topic.partitions),
        "kept": _kept(topic.retention_ms),
        "limit": f"{topic.max_bytes // KIB} KiB",
        "version": str(topic.version),
        "dead letters": "none, it is a broadcast" if broadcast else _dead_letters(topic),
    }


def _dead_letters(topic: Topic) -> str:
    return _code(dict.fromkeys(topic.dead_letters(service) for service in topic.consumers))


def _kept(milliseconds: int) -> str:
    hours = milliseconds // HOUR_MS
    return f"{hours // HOURS_A_DAY} d" if hours % HOURS_A_DAY == 0 else f"{hours} h"


def _tiers() -> str:
    return ", ".join(f"{tier.value} (weight {WEIGHTS[tier]})" for tier in Tier)


def _words(words: Iterable[str]) -> str:
    return ", ".join(words) or "nobody in a group"


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def _first_difference(there: str, wanted: str) -> str:
    differences = difflib.unified_diff(there.splitlines(), wanted.splitlines(), lineterm="", n=0)
    changed = (line for line in differences if line[:1] in "+-" and line[:3] not in {"+++", "---"})
    return next(changed, "line ends differ")


if __name__ == "__main__":
    raise SystemExit(main())
