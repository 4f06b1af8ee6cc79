"""Principals, the hashes of their API keys, and stored answers for repeated requests."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from matching_service.store.base import Identified, Table


class PrincipalRow(Identified, Table):
    """A person or program that acts. All records of actions refer to such a row. It outlives keys and is never deleted.

    kind : key (the holder of certain keys), command_line, or feed (another service whose feed is imported).
    name : for people; several principals may have the same name.
    """

    __tablename__ = "principals"

    kind: Mapped[str] = mapped_column(String(20))
    name: Mapped[str] = mapped_column(String(100))


class ApiKeyRow(Identified, Table):
    __tablename__ = "api_keys"

    principal_id: Mapped[str] = mapped_column(ForeignKey("principals.id"), index=True)
    principal: Mapped[PrincipalRow] = relationship(lazy="raise")
    role: Mapped[str] = mapped_column(String(20))
    key_hash: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    source: Mapped[str | None] = mapped_column(String(100))
    organization_ids: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))


class IdempotentAnswerRow(Identified, Table):
    """The answer to a POST with an ``Idempotency-Key``, stored in the same transaction as its work.

    status, headers, body : None if the answer was erased.
    """

    __tablename__ = "idempotent_answers"
    __table_args__ = (UniqueConstraint("principal_id", "idempotency_key"), Index(None, "created_at"))

    principal_id: Mapped[str] = mapped_column(ForeignKey("principals.id"))
    idempotency_key: Mapped[str] = mapped_column(String(200))
    request_hash: Mapped[str] = mapped_column(String(64))
    status: Mapped[int | None]
    headers: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    body: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[datetime]


class AnsweredProfileRow(Table):
    """A profile that a stored answer contains.

    ``profile_id`` is not a foreign key, because this row is needed to erase the answer after the profile was deleted.
    """

    __tablename__ = "idempotent_answer_profiles"

    answer_id: Mapped[str] = mapped_column(ForeignKey("idempotent_answers.id", ondelete="CASCADE"), primary_key=True)
    profile_id: Mapped[str] = mapped_column(String(36), primary_key=True, index=True)
