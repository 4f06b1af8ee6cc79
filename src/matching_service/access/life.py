"""The life cycle of a record as one transition table: source, target, required permission and required fields.

The transition checks, the next states listed in answers, ``docs/states.md`` and the tests all read this table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from matching_service.access.policies import POLICIES, Action
from matching_service.foundation.errors import Bilingual, FieldError, IllegalTransition, InvalidInput

State = TypeVar("State", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Step(Generic[State]):
    """One transition.

    needs : fields that the request must contain.
    note : further conditions and side effects, for the documentation.
    """

    source: State
    target: State
    action: Action
    needs: tuple[str, ...] = ()
    note: Bilingual | None = None


class Life(Generic[State]):
    """The transition table of one kind of record. The first step starts in the initial state."""

    def __init__(self, what: Bilingual, names: Mapping[State, str], steps: Sequence[Step[State]]) -> None:
        self.what = what
        self.names = names
        self.steps = tuple(steps)
        self._by_ends = {(step.source, step.target): step for step in self.steps}

    def following(self, state: State) -> list[State]:
        """Return the possible next states, in table order. A final state has none."""
        return [step.target for step in self.steps if step.source is state]

    def named(self, state: State) -> str:
        """Return the code and Chinese name of a state, for messages."""
        return f"{state}（{self.names[state]}）"

    def action(self, target: State) -> Action | None:
        """Return the permission needed to enter a state; None if no step leads to it.

        All steps to a state need the same permission, so callers can check it before they read the record.
        """
        return next((step.action for step in self.steps if step.target is target), None)

    def step(self, current: State, to: State) -> Step[State]:
        """Return the step between two states. Raises IllegalTransition if the table has none."""
        if (step := self._by_ends.get((current, to))) is not None:
            return step
        raise self.illegal(current, to)

    def illegal(self, current: State, to: State) -> IllegalTransition:
        """Return the error for a step that is not in the table, with the possible next states."""
        legal = self.following(current)
        legal_names = "、".join(map(self.named, legal))
        return IllegalTransition(
            Bilingual(
                f"{self.what.zh}现为 {self.named(current)}，不能变为 {self.named(to)}；"
                f"可变为：{legal_names or '无，已是终态'}。",
                f"The {self.what.en} is {current} and cannot become {to}; possible: "
                f"{', '.join(legal) or 'nothing, it has ended'}.",
            ),
            legal=legal,
        )

    def check_needs(self, step: Step[State], given: Mapping[str, object]) -> None:
        """Raise InvalidInput listing every field that the step needs and ``given`` lacks."""
        errors = [
            FieldError(
                "needed_for_step",
                Bilingual(
                    f"变为 {self.named(step.target)}须填写 {need}。",
                    f"To become {step.target} it needs {need}.",
                ),
                f"/{need}",
            )
            for need in step.needs
            if given.get(need) is None
        ]
        if errors:
            raise InvalidInput("transition_incomplete", errors[0].message, errors=errors)

    def path(self, current: State, to: State) -> list[State] | None:
        """Return the shortest path from ``current`` to ``to``, without ``current``; None if there is no path."""
        paths: list[list[State]] = [[current]]
        seen = {current}
        while paths:
            path = paths.pop(0)
            if path[-1] is to:
                return path[1:]
            for following in self.following(path[-1]):
                if following not in seen:
                    seen.add(following)
                    paths.append([*path, following])
        return None

    def at_or_beyond(self, state: State) -> frozenset[State]:
        """Return the states dominated by ``state``, itself included: a record in any of them has passed through it."""
        reached, waiting = {state}, [self.steps[0].source]
        while waiting:
            if (current := waiting.pop()) not in reached:
                reached.add(current)
                waiting += self.following(current)
        return frozenset(type(state)) - reached | {state}

    def markdown(self) -> str:
        """Return the table as a Mermaid state diagram and a Markdown table of its steps, for ``docs/states.md``."""
        states = list(dict.fromkeys(state for step in self.steps for state in (step.source, step.target)))
        ended = [state for state in states if not self.following(state)]
        lines = [
            "```mermaid",
            "stateDiagram-v2",
            *(f"    {state}: {self.names[state]} {state}" for state in states),
            f"    [*] --> {states[0]}",
            *(f"    {step.source} --> {step.target}" for step in self.steps),
            *(f"    {state} --> [*]" for state in ended),
            "```",
            "",
            "| from | to | who may | needs |",
            "| --- | --- | --- | --- |",
        ]
        for step in self.steps:
            needs = "; ".join([*(f"`{need}`" for need in step.needs), *([" ".join(step.note)] if step.note else [])])
            who = ", ".join(sorted(POLICIES[step.action]))
            lines.append(f"| {step.source} | {step.target} | {who} | {needs} |")
        return "\n".join(lines)
