"""Prometheus metrics of the process. Labels have few values: route templates, but no ids or texts."""

from prometheus_client import Counter, Gauge, Histogram

REQUEST_SECONDS = Histogram(
    "matching_http_request_seconds",
    "Time from the first byte of a request to the last byte of its answer.",
    ("method", "route", "status"),
)
MATCH_SECONDS = Histogram("matching_rank_seconds", "Time to rank and explain one demand, in seconds.")
INDEX_PROFILES = Gauge("matching_index_profiles", "Profiles in the index of this process.")
INDEX_AS_OF = Gauge(
    "matching_index_as_of",
    "Sequence number of the last change that the index includes.",
)
INDEX_PENDING = Gauge(
    "matching_index_pending_vectors",
    "Passages in the index of this process that are found by their words, but not yet by their meaning.",
)
RUN_DEMANDS = Counter("matching_run_demands_total", "Demands ranked by match runs.", ("outcome",))
WEBHOOK_ATTEMPTS = Counter("matching_webhook_attempts_total", "Attempts to deliver an event.", ("outcome",))
WEBHOOK_DELIVERIES = Gauge("matching_webhook_deliveries", "Events that are not delivered, by state.", ("state",))
ENCODER_AVAILABLE = Gauge("matching_encoder_available", "1 if the last request to the encoder succeeded, else 0.")
ENCODER_AVAILABLE.set(1)
NIGHT_RUN_AGE = Gauge(
    "matching_night_run_age_seconds", "Seconds since the last run over all or changed demands finished; NaN: never."
)
