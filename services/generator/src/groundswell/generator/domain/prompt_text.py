"""Text of people and documents inside a prompt of special tokens."""

from collections.abc import Iterable


def without_special_tokens(text: str, special_tokens: Iterable[str]) -> str:
    """`text` with a space after the first character of each special token: it reads the same and commands nothing.

    Without it a document that holds `<|im_end|>` could end its own message and begin one of the system's.
    """
    for token in special_tokens:
        while len(token) > 1 and not any(map(str.isspace, token)) and token in text:
            text = text.replace(token, f"{token[0]} {token[1:]}")
    return text
