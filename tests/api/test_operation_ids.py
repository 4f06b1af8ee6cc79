"""Programs that generate a client name its functions by ``operationId``."""

from matching_service.app import create_app
from matching_service.foundation.settings import Settings


def test_operations_have_short_names_of_their_own() -> None:
    described = create_app(Settings()).openapi()
    names = [one["operationId"] for path in described["paths"].values() for one in path.values()]
    assert len(names) == len(set(names)) > 80
    assert all(name.isidentifier() and len(name) <= 32 for name in names)
    assert {"create_demand", "list_profiles", "read_board", "read_feed", "rank_now"} <= set(names)
    assert described["info"]["title"].isascii()
