"""The sections on the generator workers."""

from measures.markdown import kept, table, taken_at
from workers.numbers import Placement, TakeOver
from workers.timed_stack import ANSWER_S, SLOTS, STEP_S, WORKERS

SHARE_LIMIT = 0.01
TAKEOVER_LIMIT_S, TAKEOVER_AIM_S = 8.0, 6.0
_STEP = f"a step takes {STEP_S * 1000:.0f} ms and {ANSWER_S * 1000:.1f} ms for each answer"


def placement_section(measured: Placement) -> str:
    rows = [
        ("answers", str(measured.answers)),
        ("slots taken, on average", f"{measured.busy:.0%}"),
        ("found every slot taken", str(measured.waited)),
        ("first text, p50", f"{measured.first_text_ms.p50:.0f} ms"),
        ("first text, p95", f"{measured.first_text_ms.p95:.0f} ms"),
        ("somebody waits although a worker has room", f"{measured.share:.2%} of the time"),
    ]
    return "\n".join(
        [
            "## A full worker and one with room\n",
            *table((f"{measured.seconds:.0f} s", ""), rows),
            "",
            f"{WORKERS} workers of {SLOTS} slots, {_STEP}; questions by a Poisson process",
            f"(seed {measured.seed}) at 70 % of what the workers can do. From the times at which the broker appended",
            "commands, admissions and ends: the time in which an attempt lay only where more lay than fit,",
            "while another worker had room.\n",
            f"Share: {measured.share:.2%} of {SHARE_LIMIT:.0%} ({kept(measured.share <= SHARE_LIMIT)}, aim 0).\n",
            taken_at(measured.circumstances),
            "",
        ]
    )


def takeover_section(measured: TakeOver) -> str:
    spread = measured.seconds
    verdict = kept(spread.p95 <= TAKEOVER_LIMIT_S)
    rows = [
        ("the stream goes on", f"{spread.p50:.1f}", f"{spread.p95:.1f}", f"{measured.longest:.1f}", str(spread.count))
    ]
    return "\n".join(
        [
            "## A worker is killed\n",
            *table(("seconds after the kill", "p50", "p95", "longest", "kills"), rows),
            "",
            f"{WORKERS} workers, {_STEP}. The worker of a stream gets SIGKILL in the",
            "middle of the answer; the time until its client has more of it.\n",
            f"p95: {spread.p95:.1f} s of {TAKEOVER_LIMIT_S:.0f} s ({verdict}, aim {TAKEOVER_AIM_S:.0f} s).\n",
            taken_at(measured.circumstances),
            "",
        ]
    )
