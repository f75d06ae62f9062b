"""The policy that every deployment starts with, and the strings that an operator adds."""

from collections.abc import Sequence

from groundswell.moderator.domain.input_rules import INPUT_RULES
from groundswell.moderator.domain.policy import Policy
from groundswell.moderator.domain.rules import BOTH, Phrases, Rule
from groundswell.moderator.domain.secret_rules import CARD_RULES, CREDENTIAL_RULES

_FORBIDDEN = (
    "The text contains something that this organisation does not let through. Rephrase it, or ask your operator."
)


def standard_policy(forbidden_strings: Sequence[str] = ()) -> Policy:
    """Raises ValueError if one of the strings is empty."""
    return Policy((*_operators_rules(forbidden_strings), *CREDENTIAL_RULES, *CARD_RULES, *INPUT_RULES))


def _operators_rules(strings: Sequence[str]) -> tuple[Rule, ...]:
    if not strings:
        return ()
    return (Rule("forbidden-string", "organisation", BOTH, _FORBIDDEN, Phrases(tuple(strings))),)
