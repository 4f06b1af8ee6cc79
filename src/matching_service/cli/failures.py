"""Error messages for expected failures of a command. Other exceptions are bugs and show their traceback."""

from pydantic import ValidationError as SettingsError
from sqlalchemy.exc import SQLAlchemyError

from matching_service.foundation.errors import Bilingual, MatchingError


def explain(error: Exception) -> Bilingual | None:
    """Return the message for an expected error, or None for a bug."""
    match error:
        case MatchingError():
            return error.detail
        case SettingsError():
            reasons = "; ".join(f"MATCHING_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors())
            return Bilingual(f"设置有误：{reasons}", f"Wrong setting: {reasons}")
        case SQLAlchemyError() | OSError():
            reason = str(error).splitlines()[0]
            return Bilingual(
                f"数据库或文件不可用：{reason}。请检查文件路径、MATCHING_DATABASE_URL 与 MATCHING_DATA_DIR。",
                f"Database or file not usable: {reason}. Check the path, MATCHING_DATABASE_URL and MATCHING_DATA_DIR.",
            )
        case _:
            return None
