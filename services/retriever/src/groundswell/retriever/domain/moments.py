"""Times with zones."""

from datetime import UTC, datetime


def with_zone(moment: datetime) -> datetime:
    """A time that names no zone counts as UTC."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
