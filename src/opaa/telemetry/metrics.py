"""Every metric of OPAA, in one place."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60)

REQUESTS = Counter("opaa_http_requests", "Requests answered.", ["method", "route", "status"], registry=REGISTRY)
REQUEST_SECONDS = Histogram(
    "opaa_http_request_duration_seconds", "Time to answer.", ["method", "route"], buckets=SECONDS, registry=REGISTRY
)
SEARCH_SECONDS = Histogram(
    "opaa_search_duration_seconds", "Time to search, embedding included.", buckets=SECONDS, registry=REGISTRY
)
ANSWERS = Counter("opaa_answers", "Answers by outcome.", ["model", "outcome", "degraded"], registry=REGISTRY)
ANSWER_SECONDS = Histogram(
    "opaa_answer_duration_seconds", "Time to answer a question.", buckets=SECONDS, registry=REGISTRY
)
MODEL_SECONDS = Histogram(
    "opaa_model_duration_seconds", "Time that the language model took.", ["model"], buckets=SECONDS, registry=REGISTRY
)
TOKENS = Counter("opaa_model_tokens", "Tokens used.", ["model", "direction"], registry=REGISTRY)
REMOVED_CITATIONS = Counter(
    "opaa_citations_removed", "Citation markers that named no retrieved passage.", registry=REGISTRY
)
FEEDBACK = Counter("opaa_feedback", "Feedback given.", ["rating"], registry=REGISTRY)
QUEUE_LENGTH = Gauge("opaa_indexing_queue_length", "Indexing jobs waiting or working.", registry=REGISTRY)
