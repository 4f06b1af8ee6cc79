"""What is asked: the texts of a demand, or of an ad hoc question in the same form."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Query:
    """Only the title must hold something; real demands are short and uneven."""

    title: str
    problem: str = ""
    key_technology: str = ""
    expected_goal: str = ""
    keywords: tuple[str, ...] = ()
    must_have: tuple[str, ...] = ()
    nice_to_have: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All of it, in the order of a form."""
        lists = ("；".join(terms) for terms in (self.keywords, self.must_have, self.nice_to_have))
        parts = (
            self.title,
            self.problem,
            self.key_technology,
            self.expected_goal,
            *lists,
        )
        return "\n".join(part for part in parts if part)
