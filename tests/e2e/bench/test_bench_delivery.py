"""The pure parts of the measures of the bus: what travels, what is made of the numbers, and their page."""

import random
from pathlib import Path
from statistics import StatisticsError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.line import parcel
from delivery.numbers import Backlog, Beside, Cost, Hops, Memory, Part2, Tail, tail
from delivery.page import page
from delivery.regression import bootstrap_interval, slope
from measures.measured import Circumstances, read, write

AT = Circumstances(
    date="2026-01-01", commit="abc", machine="one", versions={"python": "3.11"}, load_before=0.1, load_after=1.2
)
ALL = Part2(
    hops=Hops(
        circumstances=AT,
        messages=10_000,
        by_in_flight={
            1: Beside(product=Tail(p50=6.0, p99=9.0, count=10_000), raw=Tail(p50=5.0, p99=10.0, count=10_000)),
            32: Beside(product=Tail(p50=30.0, p99=56.0, count=10_000), raw=Tail(p50=25.0, p99=40.0, count=10_000)),
        },
    ),
    cost=Cost(circumstances=AT, messages=5000, product_us=(300.0, 290.0, 310.0), raw_us=(200.0, 210.0), ratio=1.46),
    backlog=Backlog(
        circumstances=AT,
        wait_ms={0: Tail(p50=3.0, p99=6.0, count=200), 100_000: Tail(p50=3.5, p99=8.0, count=200)},
        slope_ms=0.02,
        low_ms=-0.01,
        high_ms=0.05,
        seed=1,
    ),
    memory=Memory(circumstances=AT, resident_mb={10_000: 60.0, 100_000: 61.0}, ratio=1.017),
)


@given(st.integers(0, 2**63))
def test_a_parcel_has_512_bytes_whatever_its_number(number: int) -> None:
    assert len(parcel(number).model_dump_json()) == 512


def test_the_slope_of_a_line_is_found_whatever_the_blocks() -> None:
    assert slope({0.0: [[3.0], [3.0]], 1.0: [[5.0, 5.0]], 10.0: [[23.0]]}) == pytest.approx(2.0)


def test_one_size_has_no_slope() -> None:
    with pytest.raises(StatisticsError):
        slope({1.0: [[3.0], [4.0]]})


@pytest.mark.parametrize("steepness", [0.0, 0.5])
def test_the_interval_holds_the_slope_that_made_the_values(steepness: float) -> None:
    dice = random.Random(7)
    values = {x: [[steepness * x + dice.gauss(5, 1) for _ in range(10)] for _ in range(20)] for x in (0.0, 1.0, 10.0)}
    low, high = bootstrap_interval(values, seed=1, resamples=300)
    assert low < steepness < high
    assert low < slope(values) < high
    assert high - low < 0.1


def test_blocks_that_differ_make_the_interval_wider_than_their_values_alone() -> None:
    dice = random.Random(7)
    shifts = {x: [dice.gauss(0, 2) for _ in range(10)] for x in (0.0, 10.0)}
    whole = {x: [[shift] * 10 for shift in those] for x, those in shifts.items()}
    apart = {x: [[shift] for shift in those for _ in range(10)] for x, those in shifts.items()}
    (low, high), (near, far) = (bootstrap_interval(each, seed=1, resamples=300) for each in (whole, apart))
    assert high - low > 2 * (far - near)


def test_a_seed_gives_the_same_interval_again() -> None:
    values = {0.0: [[1.0], [2.0], [4.0]], 1.0: [[1.0], [3.0], [2.0]]}
    assert bootstrap_interval(values, seed=3) == bootstrap_interval(values, seed=3)


def test_the_tail_of_a_thousand() -> None:
    assert tail([float(number) for number in range(1, 1002)]) == Tail(p50=501.0, p99=991.0, count=1001)


def test_numbers_survive_being_written(tmp_path: Path) -> None:
    path = tmp_path / "numbers.json"
    write(path, ALL)
    assert read(path, Part2) == ALL


def test_the_page_says_every_measure_its_limit_and_the_load_beside_it() -> None:
    shown = page(ALL)
    assert "| p50, 1 in flight | 6.00 | 5.00 | 1.20x |" in shown
    assert "Largest ratio: 1.40x of 1.50x (kept, aim 1.20x)" in shown
    assert "Ratio: 1.46x of 3.00x (kept, aim 2.00x)" in shown
    assert "95 % interval -0.010 to 0.050" in shown
    assert "1.02x of 1.05x (kept)" in shown
    assert shown.count("load average 0.1 before, 1.2 after") == 4
    assert "broken" not in shown


@pytest.mark.parametrize(("low_ms", "high_ms"), [(0.01, 0.05), (-0.5, 1.2)])
def test_a_slope_that_is_sure_to_rise_or_may_be_steep_is_shown_as_broken(low_ms: float, high_ms: float) -> None:
    assert ALL.backlog is not None
    steep = ALL.backlog.model_copy(update={"low_ms": low_ms, "high_ms": high_ms})
    assert "(**broken**)" in page(Part2(backlog=steep))


def test_what_was_never_measured_is_left_out() -> None:
    assert "##" not in page(Part2())
