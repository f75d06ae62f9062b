"""What an ingest tells a person: what was done, what was left out, and what failed with its reason."""

from collections import Counter

from groundswell.cli.ingesting import Result
from groundswell.cli.invocation import hint
from groundswell.cli.terminal import one_line, remark, say

SHOWN = 20


def report(results: list[Result]) -> None:
    for result in results:
        say(summary(result))
        _report_skipped(result.skipped)
        _report_failed(result.failed)


def summary(result: Result) -> str:
    """One line; what failed is counted as that alone."""
    done = {
        "uploaded": len(result.sent.keys() - result.failed.keys()),
        "removed": len(result.removed),
        "unchanged": len(set(result.unchanged) - result.failed.keys()),
        "failed": len(result.failed),
    }
    if not result.sent and not result.removed and not result.failed:
        return f"{result.source}: nothing to do, {len(result.unchanged)} unchanged"
    told = ", ".join(f"{count} {what}" for what, count in done.items() if count)
    waiting = f"; {len(result.waiting)} not answerable yet" if result.waiting else ""
    return f"{result.source}: {told}{waiting}"


def _report_skipped(skipped: dict[str, str]) -> None:
    for kind, count in sorted(Counter(skipped.values()).items()):
        examples = sorted(name for name, why in skipped.items() if why == kind)[:3]
        more = ", ..." if count > len(examples) else ""
        say(f"  skipped {count} ({kind}): {', '.join(map(one_line, examples))}{more}")


def _report_failed(failed: dict[str, str]) -> None:
    for name, reason in sorted(failed.items())[:SHOWN]:
        remark(f"error: {one_line(name)}: {one_line(reason)}")
    if len(failed) > SHOWN:
        remark(f"error: and {len(failed) - SHOWN} more: {hint('documents ls --failed')} lists them")
