"""Verify the audit log from its first row to its last."""

from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.audit.queries import rows_after
from matching_service.store.chain import START, digest_of

_MAX_TOLD = 20


@dataclass(slots=True)
class Verdict:
    """The head is the number and the digest of the last row. faults : sentences, at most ``_MAX_TOLD``."""

    n_rows: int = 0
    head: tuple[int, str] = (0, START)
    n_faults: int = 0
    faults: list[str] = field(default_factory=list)

    def add(self, fault: str) -> None:
        self.n_faults += 1
        if len(self.faults) < _MAX_TOLD:
            self.faults.append(fault)


async def verify(
    session: AsyncSession,
    *,
    noted: tuple[int, str] | None = None,
    on_progress: Callable[[int], None] = lambda _n: None,
) -> Verdict:
    """Read all rows and compare numbers and digests. ``noted``: a head from earlier, which must still be in the log."""
    verdict = Verdict()
    seq, digest = verdict.head
    has_noted = noted is None or noted == verdict.head
    while True:
        if not (rows := await rows_after(session, seq)):
            break
        for row in rows:
            if row["seq"] != seq + 1:
                verdict.add(f"{seq + 1}–{row['seq'] - 1} 缺失 missing")
            elif row["digest"] != digest_of(digest, row):
                verdict.add(f"{row['seq']} 被更改 changed")
            seq, digest = row["seq"], row["digest"]
            has_noted = has_noted or (seq, digest) == noted
        verdict.n_rows += len(rows)
        on_progress(len(rows))
    verdict.head = seq, digest
    if not has_noted and noted is not None:
        verdict.add(f"{noted[0]} 与记下的摘要不符 is not as it was noted")
    return verdict
