"""The life of a record as one table: which state may follow which, who may take the step, and what it needs.

The checks, the states that an answer offers, ``docs/states.md`` and the tests all read the same table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from matching_service.access.policies import POLICIES, Action
from matching_service.foundation.errors import FieldError, IllegalTransition, InvalidInput, Text

State = TypeVar("State", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Step(Generic[State]):
    """One arrow of the drawing. ``needs``: fields that must come with the step; ``note``: what else it asks or does."""

    source: State
    target: State
    action: Action
    needs: tuple[str, ...] = ()
    note: Text | None = None


class Life(Generic[State]):
    """All steps of one kind of record, in the order of the drawing."""

    def __init__(self, what: Text, names: Mapping[State, str], steps: Sequence[Step[State]]) -> None:
        self.what = what
        self.names = names
        self.steps = tuple(steps)
        self._by_ends = {(step.source, step.target): step for step in self.steps}

    def following(self, state: State) -> list[State]:
        """The states that may come next, in the order of the table; none when the life has ended."""
        return [step.target for step in self.steps if step.source is state]

    def named(self, state: State) -> str:
        """The state as a Chinese sentence names it."""
        return f"{state}（{self.names[state]}）"

    def action(self, target: State) -> Action | None:
        """What one must be permitted to do to enter a state, None for one that cannot be entered; no step to a state
        asks for another permission than its other steps, so that it can be checked before a record is read.
        """
        return next((step.action for step in self.steps if step.target is target), None)

    def step(self, current: State, to: State) -> Step[State]:
        """The step between two states; raises IllegalTransition."""
        if (found := self._by_ends.get((current, to))) is not None:
            return found
        raise self.illegal(current, to)

    def illegal(self, current: State, to: State) -> IllegalTransition:
        """The error of a step that is not in the table, with the list of what is possible."""
        legal = self.following(current)
        listed = "、".join(map(self.named, legal))
        return IllegalTransition(
            Text(
                f"{self.what.zh}现为 {self.named(current)}，不能变为 {self.named(to)}；"
                f"可变为：{listed or '无，已是终态'}。",
                f"The {self.what.en} is {current} and cannot become {to}; possible: "
                f"{', '.join(legal) or 'nothing, it has ended'}.",
            ),
            legal=legal,
        )

    def check_needs(self, step: Step[State], given: Mapping[str, object]) -> None:
        """Raise InvalidInput naming everything at once that the step needs and ``given`` lacks."""
        errors = [
            FieldError(
                "needed_for_step",
                Text(
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
        """The shortest way from one state to another, without the first; None when there is none."""
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
        """The state, and every state to which no way leads that does not pass it: who is there has been in it."""
        reached, waiting = {state}, [self.steps[0].source]
        while waiting:
            if (found := waiting.pop()) not in reached:
                reached.add(found)
                waiting += self.following(found)
        return frozenset(type(state)) - reached | {state}

    def markdown(self) -> str:
        """The table as a diagram (Mermaid) and a list of its steps, for ``docs/states.md``."""
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
