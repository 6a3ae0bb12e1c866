"""The metrics that only the worker `embed` has. They belong to the process, which runs one worker."""

from prometheus_client import Counter

TEXTS = Counter("headrace_embed_texts", "Texts whose vector was computed", registry=None)
TOKENS = Counter("headrace_embed_tokens", "Tokens of these texts", registry=None)
PADDED_TOKENS = Counter("headrace_embed_padded_tokens", "Tokens that the model got, with the padding", registry=None)
CACHE_HITS = Counter("headrace_embed_cache_hits", "Texts whose vector was in the cache", registry=None)
CACHE_MISSES = Counter("headrace_embed_cache_misses", "Texts whose vector was not in the cache", registry=None)

ALL = (TEXTS, TOKENS, PADDED_TOKENS, CACHE_HITS, CACHE_MISSES)
