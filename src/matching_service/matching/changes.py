"""What changed between two lists of one demand. Pure."""

from collections.abc import Mapping

from matching_service.matching.schemas import DemandChanges, MovedProfile, PlacedProfile

MOVED_AT_LEAST = 3
"""Places; smaller moves are noise that nobody acts on."""


def compare_lists(demand_id: str, before: Mapping[str, int], after: Mapping[str, int]) -> DemandChanges | None:
    """Ranks by profile id, before and after; None when nothing came, went or moved far."""
    entered = sorted((rank, profile_id) for profile_id, rank in after.items() if profile_id not in before)
    left = sorted((rank, profile_id) for profile_id, rank in before.items() if profile_id not in after)
    moved = sorted(
        (rank, profile_id, before[profile_id])
        for profile_id, rank in after.items()
        if profile_id in before and abs(rank - before[profile_id]) >= MOVED_AT_LEAST
    )
    if not (entered or left or moved):
        return None
    return DemandChanges(
        demand_id=demand_id,
        entered=[PlacedProfile(profile_id=profile_id, rank=rank) for rank, profile_id in entered],
        left=[PlacedProfile(profile_id=profile_id, rank=rank) for rank, profile_id in left],
        moved=[
            MovedProfile(profile_id=profile_id, from_rank=from_rank, to_rank=rank)
            for rank, profile_id, from_rank in moved
        ],
    )
