"""What the moderator consists of."""

from functools import partial

from groundswell.common.bus.consumption import consume
from groundswell.common.errors import Misconfigured
from groundswell.common.runtime import Service
from groundswell.common.topics import CHECK_TEXT
from groundswell.moderator.domain.policy import Policy
from groundswell.moderator.domain.standard_policy import standard_policy
from groundswell.moderator.handlers import check_text
from groundswell.moderator.settings import Settings, read_forbidden_strings


def build() -> Service:
    """The service with the settings of its environment. Raises Misconfigured."""
    return compose(Settings.load("moderator"))


def compose(settings: Settings) -> Service:
    policies = {"default": _default_policy(settings)}
    return Service(
        name="moderator",
        settings=settings,
        subscriptions=[consume(CHECK_TEXT, partial(check_text, policies=policies), slots=4)],
    )


def _default_policy(settings: Settings) -> Policy:
    try:
        return standard_policy(read_forbidden_strings(settings.forbidden_strings))
    except ValueError as error:
        raise Misconfigured(f"GROUNDSWELL_FORBIDDEN_STRINGS: {error}") from None
