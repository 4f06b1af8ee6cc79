"""Write ``docs/states.md`` from the same tables that the service uses.

python -m matching_service.jobs.states > docs/states.md
"""

import sys

from matching_service.claims.states import CRITERIA
from matching_service.claims.states import LIFE as CLAIM
from matching_service.demands.states import LIFE, EndReason
from matching_service.suggestions.states import LIFE as SUGGESTION
from matching_service.suggestions.states import RefusalReason

_HEAD = """# States 状态

`make states` generates this file from the tables in the code; do not edit it. A test keeps it up to date.

Every step is recorded with its actor, time, previous state, and opinion or reason. A step that is not listed here gives
409 `illegal_transition`; `legal` in the answer lists the possible states. A step without a required field gives 422,
which names all missing fields. The roles `staff` and `admin` are the office, `portal` is the enterprises' portal,
`batch` the nightly job.
"""


def states_document() -> str:
    """Return the document: Markdown with Mermaid diagrams."""
    parts = [_HEAD]
    for heading, life, reasons in (
        ("A demand 需求", LIFE, EndReason),
        ("A suggestion 推荐: a profile proposed for a demand", SUGGESTION, RefusalReason),
    ):
        parts += [
            f"## {heading}",
            "",
            life.markdown(),
            "",
            f"Reasons: {', '.join(reasons)}. `other` needs an explanation.",
            "",
        ]
    points = ", ".join(f"{criterion} {words.zh} {most}" for criterion, (words, most) in CRITERIA.items())
    parts += [
        "## A claim 揭榜: an offer to solve a demand",
        "",
        CLAIM.markdown(),
        "",
        f"Score sheet 评分表: {points}.",
        "",
    ]
    return "\n".join(parts)


if __name__ == "__main__":
    sys.stdout.write(states_document())
