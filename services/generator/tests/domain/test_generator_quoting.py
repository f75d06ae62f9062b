from groundswell.common.contracts.generation import ChatMessage
from groundswell.generator.domain.quoting import first_quote


def user(content: str) -> tuple[ChatMessage, ...]:
    return ChatMessage(role="system", content="Answer from the <passage> texts."), ChatMessage(
        role="user", content=content
    )


def passage(text: str, number: int = 1) -> str:
    return f'<passage id="{number}" source="Handbook | Doors" updated="2026-01-01">\n{text}\n</passage>'


def test_quotes_the_first_sentence_of_the_first_passage() -> None:
    prompt = f"Passages:\n\n{passage('Version 1.2 is old. It goes.')}\n\n{passage('No.', 2)}\n\nQuestion: why?"
    assert first_quote(user(prompt)) == "Version 1.2 is old."


def test_headings_and_tables_are_no_sentences() -> None:
    assert first_quote(user(passage("# Doors. And gates.\n\n| a. | b. |\nAll doors close at 8. Then dark."))) == (
        "All doors close at 8."
    )


def test_an_empty_passage_is_skipped() -> None:
    assert first_quote(user(passage("") + passage("Here it is."))) == "Here it is."


def test_a_passage_without_a_sentence_is_quoted_by_its_first_line() -> None:
    assert first_quote(user(passage("ports and adapters\nmore"))) == "ports and adapters"
    assert first_quote(user(passage("# Only a heading"))) == "# Only a heading"


def test_without_passages_the_last_words_of_the_user_come_back() -> None:
    assert first_quote(user("say this")) == "say this"


def test_without_a_user_there_is_nothing_to_say() -> None:
    assert first_quote((ChatMessage(role="system", content="be kind"),)) == ""
