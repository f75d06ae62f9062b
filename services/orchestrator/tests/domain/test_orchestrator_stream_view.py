"""A reader of an answer stream shows one text, whoever wrote it and however often."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from groundswell.common.contracts.answers import AnswerReleased, StreamAdopted
from groundswell.common.ids import RequestId
from groundswell.orchestrator.domain.stream_view import StreamView

REQUEST = RequestId("req_1")


def released(epoch: int, start: int, text: str) -> AnswerReleased:
    return AnswerReleased(request_id=REQUEST, epoch=epoch, start=start, text=text)


def adopted(epoch: int) -> StreamAdopted:
    return StreamAdopted(request_id=REQUEST, epoch=epoch)


@given(
    text=st.text(max_size=40),
    cuts=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=12),
    takes_over=st.integers(0, 12),
)
def test_pieces_of_one_text_give_a_prefix_of_it_whatever_is_doubled_or_late(
    text: str, cuts: list[tuple[int, int]], takes_over: int
) -> None:
    view, shown = StreamView(epoch=1), ""
    for number, (start, end) in enumerate(cuts):
        if number == takes_over:
            assert view.adopt(adopted(2))
        epoch = 1 + (number >= takes_over)
        shown += view.take(released(epoch, start, text[start:end]))
        assert view.take(released(epoch, start, text[start:end])) == ""
    if len(cuts) > takes_over:
        shown += view.take(released(2, 0, text))
        assert shown == text
    assert text.startswith(shown)
    assert view.position == len(shown)


def test_what_a_superseded_owner_appends_does_not_count() -> None:
    view = StreamView(epoch=1)
    view.adopt(adopted(3))
    assert view.take(released(1, 0, "old")) == view.take(released(2, 0, "older")) == ""
    assert not view.adopt(adopted(2))
    assert view.take(released(3, 0, "new")) == "new"


@given(text=st.text(min_size=1, max_size=40), sizes=st.lists(st.integers(1, 9), min_size=40), data=st.data())
def test_pieces_in_any_order_give_the_whole_text(text: str, sizes: list[int], data: st.DataObject) -> None:
    starts = [start for start in itertools.accumulate(sizes, initial=0) if start < len(text)]
    pieces = [(start, text[start:end]) for start, end in itertools.pairwise([*starts, len(text)])]
    view, shown = StreamView(epoch=1), ""
    for start, piece in data.draw(st.permutations(pieces)):
        shown += view.take(released(1, start, piece))
        assert text.startswith(shown)
    assert shown == text


def test_what_came_early_of_a_superseded_owner_is_not_shown() -> None:
    view = StreamView(epoch=1)
    assert view.take(released(1, 5, "later")) == ""
    view.adopt(adopted(2))
    assert view.take(released(2, 0, "begin")) == "begin"
