"""Vectors of texts, stored so that no text is encoded twice. The key is a hash of encoder, language and text."""

from sqlalchemy import BigInteger, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from matching_service.store.base import Table


class EmbeddingRow(Table):
    """A vector. ``direction`` holds one signed byte per dimension; it is empty for a text without a vector."""

    __tablename__ = "embeddings"

    key: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    encoder: Mapped[str] = mapped_column(String(100), index=True)
    direction: Mapped[bytes] = mapped_column(LargeBinary)
