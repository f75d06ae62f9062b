from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from measures.measured import Circumstances, read, spread, write
from measures.pages import page
from measures.processes import parse_pss, together
from measures.results import Demo, DemoRun, Processes, Questions, Results

AT = Circumstances(
    date="2026-01-01", commit="abc", machine="one", versions={"python": "3.11"}, load_before=0.1, load_after=1.2
)
STAGES_S = {"environment": 1.0, "provide": 2.0, "start": 3.0, "ingest": 4.0, "answer": 5.0}
RUN = DemoRun(total_s=15.0, stages_s=STAGES_S, provided_s={"Weaviate": 2.0})
PROCESSES = Processes(
    circumstances=AT,
    stack_start_s=(14.0, 12.0, 13.0),
    by_name=together(
        ready={"kafka": 300.0, "supervisor": 20.0},
        asked={"kafka": 310.0, "supervisor": 20.0},
        rest={"kafka": 2.5, "supervisor": 0.5},
        starts={"kafka": (3.0,)},
    ),
)
QUESTIONS = Questions(
    circumstances=AT,
    asked=50,
    shares={"answered with citations": 40, "not found": 10},
    unexpected={},
    client_first_text_ms=spread([1000.0]),
    client_total_ms=spread([2000.0]),
    stages_ms={"first_token": spread([900.0]), "retrieval": spread([50.0]), "generation": spread([1000.0])},
    prompt_tokens=spread([700]),
    completion_tokens=spread([30]),
    tokens_per_s=spread([20.0]),
)
ALL = Results(
    first_demo=Demo(circumstances=AT, runs={"first": RUN}),
    demo=Demo(circumstances=AT, runs={"second": RUN}),
    processes=PROCESSES,
    questions=QUESTIONS,
)


def test_numbers_survive_being_written(tmp_path: Path) -> None:
    path = tmp_path / "bench" / "numbers.json"
    assert read(path, Results) == Results()
    write(path, ALL)
    assert read(path, Results) == ALL


def test_the_page_says_every_measure_and_the_load_beside_it() -> None:
    shown = page(ALL)
    assert "| first | 1.0 | 2.0 | 3.0 | 4.0 | 5.0 | **15.0** |" in shown
    assert "| kafka | 300 | 310 | 2.5 | 3.00 |" in shown
    assert "| **whole stack** | **320** | **330** | **3** | **13.0** |" in shown
    assert "40 answered with citations, 10 not found" in shown
    assert shown.count("load average 0.1 before, 1.2 after") == 4


def test_machine_and_versions_stand_there_once_unless_they_differ() -> None:
    assert page(ALL).count("python 3.11") == 1
    other = QUESTIONS.model_copy(update={"circumstances": AT.model_copy(update={"machine": "two"})})
    assert page(ALL.model_copy(update={"questions": other})).count("python 3.11") == 2


def test_a_broken_limit_is_shown() -> None:
    slow = PROCESSES.model_copy(update={"stack_start_s": (45.0,)})
    assert "45 s of 30 s (**broken**)" in page(Results(processes=slow))


def test_what_was_never_measured_is_left_out() -> None:
    assert "##" not in page(Results())


def test_bars_follow_each_other_and_fill_the_width() -> None:
    bars = [line for line in page(Results(questions=QUESTIONS)).splitlines() if "█" in line]
    assert len(bars) == 3
    assert bars[0].index("█") < bars[1].index("█") < bars[2].index("█")
    assert len({line.index(" ms") for line in bars}) == 1


def test_pss_is_read_in_bytes() -> None:
    assert parse_pss("00400000-7ff [rollup]\nRss:  9 kB\nPss:   12 kB\nPss_Dirty:   1 kB\n") == 12 * 1024
    with pytest.raises(ValueError, match="Pss"):
        parse_pss("Rss: 9 kB")


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_percentiles_lie_within_the_values(values: list[float]) -> None:
    found = spread(values)
    assert min(values) - 0.1 <= found.p50 <= found.p95 + 0.1
    assert found.p95 <= max(values) + 0.1
    assert found.count == len(values)


def test_there_is_no_spread_of_nothing() -> None:
    with pytest.raises(ValueError, match="no values"):
        spread([])
