"""The clusters of the plan, which lies in another room: the roof hands them over."""

from dataclasses import dataclass

from matching_service.foundation.errors import Bilingual, InvalidInput


@dataclass(frozen=True, slots=True)
class Clusters:
    """Their names, in the order of the plan; a plan without any allows every name."""

    names: tuple[str, ...]

    def check(self, cluster: str | None) -> None:
        """Raise InvalidInput for a cluster that the plan does not have: it would be a row of its own in the report."""
        if cluster is None or not self.names or cluster in self.names:
            return
        message = Bilingual(
            f"产业集群 {cluster} 不在规划中，请改为：{'、'.join(self.names)}（见 GET /v1/codes/clusters）。",
            f"The plan has no cluster {cluster}; take one of: {', '.join(self.names)} (GET /v1/codes/clusters).",
        )
        raise InvalidInput.at("/cluster", "unknown_cluster", message)
