import pytest
from hypothesis import given
from hypothesis import strategies as st

from measures.demo_runs import Line, split

SAID: list[Line] = [
    (0.2, "Makefile:98: update target '.venv/.installed' due to: target does not exist"),
    (0.3, "Preparing the environment"),
    (30.0, "Makefile:44: update target 'provide' due to: target does not exist"),
    (38.0, "Apache Kafka 4.3.1: done (7.8 s)"),
    (338.5, "Weaviate 1.39.2: done (300.2 s)"),
    (400.0, "Makefile:47: update target 'up' due to: target does not exist"),
    (405.0, "Components: done (4.0 s)"),
    (420.0, "Makefile:23: update target 'demo' due to: target does not exist"),
    (450.0, '$ groundswell ask "What?"'),
    (455.0, ""),
]


def test_each_stage_lasts_until_the_next_one_begins() -> None:
    run = split(SAID)
    assert run.stages_s == {"environment": 30.0, "provide": 370.0, "start": 20.0, "ingest": 30.0, "answer": 5.0}
    assert run.total_s == 455.0


def test_what_provide_said_of_components_is_kept_and_the_rest_is_models() -> None:
    assert split(SAID).provided_s == {"Apache Kafka 4.3.1": 7.8, "Weaviate 1.39.2": 300.2, "models": 62.0}


def test_the_other_wording_of_make_is_understood_too() -> None:
    older = [(at, text.replace("update target", "target").replace("due to: target ", "")) for at, text in SAID]
    assert split(older) == split(SAID)


def test_a_stage_that_never_began_is_named() -> None:
    with pytest.raises(ValueError, match="ingest"):
        split([line for line in SAID if "'demo'" not in line[1]])


@given(st.lists(st.floats(0, 1000), min_size=5, max_size=5).map(sorted))
def test_stages_add_up_to_the_whole(moments: list[float]) -> None:
    marks = ["Makefile:1: target 'provide' does not exist", "Makefile:2: target 'up' does not exist"]
    marks += ["Makefile:3: target 'demo' does not exist", "$ groundswell ask", ""]
    run = split(list(zip(moments, marks, strict=True)))
    assert sum(run.stages_s.values()) == pytest.approx(run.total_s, abs=0.5)
