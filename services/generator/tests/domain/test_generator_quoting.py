from groundswell.common.contracts.generation import ChatMessage
from groundswell.generator.domain.quoting import first_quote


def user(content: str) -> tuple[ChatMessage, ...]:
    return ChatMessage(role="system", content="Answer from the passages."), ChatMessage(role="user", content=content)


def test_quotes_the_first_sentence_of_the_first_passage_with_its_mark() -> None:
    passages = "[1] Handbook\nSource: wiki | Updated: 2026-01-01\nVersion 1.2 is old. It goes.\n\n[2] Other\nNo."
    prompt = f"{passages}\n\nQuestion: why?"
    assert first_quote(user(prompt)) == "Version 1.2 is old. [1]"


def test_a_passage_on_the_line_of_its_mark_is_quoted() -> None:
    assert first_quote(user("[1] All doors close at 8. Then dark.")) == "All doors close at 8. [1]"


def test_an_empty_passage_is_skipped() -> None:
    assert first_quote(user("[1]\n\n[2] Title\nHere it is.")) == "Here it is. [2]"


def test_a_passage_without_a_sentence_is_quoted_by_its_first_line() -> None:
    assert first_quote(user("[1] Title\nports and adapters\nmore")) == "ports and adapters [1]"


def test_without_passages_the_last_words_of_the_user_come_back() -> None:
    assert first_quote(user("say this")) == "say this"


def test_without_a_user_there_is_nothing_to_say() -> None:
    assert first_quote((ChatMessage(role="system", content="be kind"),)) == ""
