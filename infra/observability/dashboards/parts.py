"""Embedding, links, and the way of one message."""

from dashboards.panels import OBJECTIVE, RATE, Dashboard, Panel, Query, TracePanel, quantiles

EMBEDDING = Dashboard(
    uid="headrace-embedding",
    title="Headrace: embedding",
    description="How much the model works, and how much the cache saves.",
    panels=[
        Panel(
            "Texts",
            "cps",
            "Texts in a second that the model embeds. A price change embeds nothing.",
            [Query(f"sum(rate(headrace_embed_texts_total{RATE}))", "texts")],
        ),
        Panel(
            "Tokens",
            "cps",
            "Tokens in a second, and tokens with the padding of their batch.",
            [
                Query(f"sum(rate(headrace_embed_tokens_total{RATE}))", "tokens"),
                Query(f"sum(rate(headrace_embed_padded_tokens_total{RATE}))", "with padding"),
            ],
        ),
        Panel(
            "Padding",
            "percentunit",
            "Share of the model's work that is padding.",
            [
                Query(
                    f"1 - sum(rate(headrace_embed_tokens_total{RATE})) "
                    f"/ sum(rate(headrace_embed_padded_tokens_total{RATE}))",
                    "padding",
                )
            ],
        ),
        Panel(
            "Cache",
            "percentunit",
            "Share of the vectors that come from the cache.",
            [
                Query(
                    f"sum(rate(headrace_embed_cache_hits_total{RATE})) "
                    f"/ (sum(rate(headrace_embed_cache_hits_total{RATE})) "
                    f"+ sum(rate(headrace_embed_cache_misses_total{RATE})))",
                    "hits",
                )
            ],
        ),
        Panel(
            "Duration of embedding",
            "s",
            "Of the stage `embed` in one batch: the cache, the tokenizer and the model.",
            quantiles("headrace_stage_seconds", "stage", "{{stage}}", '{worker="embed", stage="embed"}'),
        ),
        Panel(
            "Busy threads",
            "short",
            "Threads that compute now.",
            [Query('headrace_busy_threads{worker="embed"}', "{{instance}}")],
        ),
    ],
)

LINKS = Dashboard(
    uid="headrace-links",
    title="Headrace: links",
    description="How fast the nearest keywords of the products follow the changes of both sides.",
    panels=[
        Panel(
            "From a change to the link set's write",
            "s",
            "Seconds from the publication of a keyword or product until the link set that follows from it is written.",
            quantiles("headrace_publication_delay_seconds", "worker", "{{worker}}", '{kind="product_links"}'),
        ),
        Panel(
            "Links searchable",
            "s",
            "Seconds from the publication of the canary keyword until a link set with it is read, by store.",
            [*quantiles("headrace_searchable_links_seconds", "store", "{{store}}"), OBJECTIVE],
        ),
        Panel(
            "Requests",
            "cps",
            "Relink requests in a second by origin: a receipt, an explicit request, a sweep.",
            [Query(f"sum by (origin) (rate(headrace_link_requests_total{RATE}))", "{{origin}}")],
        ),
        Panel(
            "Saved work",
            "cps",
            "Requests in a second that another request or one read answered.",
            [Query(f"sum(rate(headrace_link_coalesced_total{RATE}))", "coalesced")],
        ),
        Panel(
            "Link sets and sweeps",
            "short",
            "Published link sets and sweeps in the last five minutes.",
            [
                Query("sum(increase(headrace_link_sets_total[5m]))", "link sets"),
                Query("sum(increase(headrace_link_sweeps_total[5m]))", "sweeps"),
            ],
        ),
        Panel(
            "Duration of linking",
            "s",
            "Of the stage `link` in one batch.",
            quantiles("headrace_stage_seconds", "stage", "{{stage}}", '{worker="link", stage="link"}'),
        ),
        Panel(
            "Lag in seconds",
            "s",
            "Age of the oldest request, receipt or link set that is not settled.",
            [
                Query(
                    'headrace:lag_seconds{topic=~".*(relink.*|receipts|product-links)"}',
                    "{{group}}{{worker}} {{topic}}",
                )
            ],
        ),
    ],
)

MESSAGE = Dashboard(
    uid="headrace-message",
    title="Headrace: one message",
    description="From a trace id to the whole way of one change.",
    variables=[("trace_id", None)],
    panels=[
        Panel(
            "Slow changes",
            "s",
            "Exemplars, the points in the graph, carry the trace id of a change: click one and follow its link.",
            quantiles("headrace_publication_delay_seconds", "worker", "{{worker}}"),
            width=24,
        ),
        TracePanel(
            "Trace",
            "The trace whose id is typed in above: queued, decoded, embedded, written to each store, linked. "
            "`headrace where ID` and the console's page of an entity show the id.",
        ),
    ],
)
