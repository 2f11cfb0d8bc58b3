"""What a server counts, in the OpenMetrics text of Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest

_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)

OPENMETRICS = CONTENT_TYPE_LATEST


class Metrics:
    """Counters of one server; nothing of what is said or of lists is in them.

    Attributes:
        requests: answered, by path (as it is routed, not as it was asked for) and status.
        seconds: until they were.
        in_flight: that are not yet.
        audio_seconds: of what was transcribed.
        streams: that are open.
        list_entries: names that are stored.
        cache_hits, cache_misses: of compiled lists.
    """

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "ctcbias_requests", "Requests answered.", ("path", "status"), registry=registry
        )
        self.seconds = Histogram(
            "ctcbias_request_seconds",
            "Seconds until a request was answered.",
            ("path",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.in_flight = Gauge(
            "ctcbias_in_flight", "Requests that are not answered yet.", registry=registry
        )
        self.audio_seconds = Counter(
            "ctcbias_audio_seconds", "Seconds of audio transcribed.", registry=registry
        )
        self.waiting = Gauge(
            "ctcbias_waiting", "Recordings that wait for the model.", registry=registry
        )
        self.streams = Gauge("ctcbias_streams", "Streams that are open.", registry=registry)
        self.list_entries = Gauge(
            "ctcbias_list_entries", "Names of lists that are stored.", registry=registry
        )
        self.cache_hits = Counter(
            "ctcbias_list_cache_hits", "Lists that were compiled already.", registry=registry
        )
        self.cache_misses = Counter(
            "ctcbias_list_cache_misses", "Lists that had to be compiled.", registry=registry
        )

    def text(self) -> bytes:
        """All of them, as they stand."""
        return bytes(generate_latest(self._registry))  # type: ignore[no-untyped-call]
