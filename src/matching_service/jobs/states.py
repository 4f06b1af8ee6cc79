"""``docs/states.md``, written from the very tables that the service works by.

python -m matching_service.jobs.states > docs/states.md
"""

import sys

from matching_service.claims.states import CRITERIA
from matching_service.claims.states import LIFE as CLAIM
from matching_service.demands.states import LIFE, EndReason
from matching_service.suggestions.states import LIFE as SUGGESTION
from matching_service.suggestions.states import RefusalReason

_HEAD = """# States 状态

Written by `make states` from the tables in the code; do not edit. A test holds that they agree.

Every step is written down: who, when, from where, with what opinion or reason. A step that is not listed here is
answered with 409 `illegal_transition`, and `legal` in the answer lists what is possible; a step that lacks something
is answered with 422, naming everything at once. The roles `staff` and `admin` are the office, `portal` the
enterprises' portal, `batch` the nightly job.
"""


def states_document() -> str:
    """The whole document, as Markdown with Mermaid diagrams."""
    parts = [_HEAD]
    for heading, life, reasons in (
        ("A demand 需求", LIFE, EndReason),
        ("A suggestion 推荐: a profile that is proposed for a demand", SUGGESTION, RefusalReason),
    ):
        parts += [f"## {heading}", "", life.markdown(), "", f"Reasons: {', '.join(reasons)}. `other` needs words.", ""]
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
