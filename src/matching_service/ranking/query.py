"""A query: the texts of a demand, or of an ad hoc question in the same form."""

import re
from dataclasses import dataclass, replace

from matching_service.text.boilerplate import without_boilerplate

_HAS_WORD = re.compile(r"[^\W_]")


@dataclass(frozen=True, slots=True)
class Query:
    """Only the title is required, because real demands are short and uneven. None = not known."""

    title: str
    problem: str = ""
    key_technology: str = ""
    expected_goal: str = ""
    keywords: tuple[str, ...] = ()
    must_have: tuple[str, ...] = ()
    nice_to_have: tuple[str, ...] = ()
    cluster: str | None = None
    region: str | None = None

    @property
    def text(self) -> str:
        """All texts, in the order of the form."""
        lists = ("；".join(terms) for terms in (self.keywords, self.must_have, self.nice_to_have))
        parts = (self.title, self.problem, self.key_technology, self.expected_goal, *lists)
        return "\n".join(part for part in parts if part)

    def topical(self) -> "Query":
        """The query without sentences that introduce the company or estimate income; unchanged where nothing else would
        be left.
        """
        kept = replace(
            self,
            problem=without_boilerplate(self.problem),
            key_technology=without_boilerplate(self.key_technology),
            expected_goal=without_boilerplate(self.expected_goal),
        )
        return kept if _HAS_WORD.search(kept.text) else self

    def topic_alone(self) -> "Query":
        """The query without conditions, cluster and region, for finding similar demands. Must-haves and nice-to-haves
        become keywords.
        """
        return replace(
            self,
            keywords=(*self.keywords, *self.must_have, *self.nice_to_have),
            must_have=(),
            nice_to_have=(),
            cluster=None,
            region=None,
        )
