"""One worker, all of its copies."""

from dashboards.panels import OPEN, RATE, READY, Dashboard, Panel, Query, quantiles

OF_WORKER = '{worker="$worker"}'
WORKER = Dashboard(
    uid="headrace-worker",
    title="Headrace: one worker",
    description="Where the time of one worker goes, and what its copies do.",
    variables=[("worker", "label_values(headrace_worker, worker)")],
    panels=[
        Panel(
            "Copies",
            "short",
            "Copies of the worker that answer, and the version that they run.",
            [Query(f"count by (version) (headrace_build_info{OF_WORKER})", "version {{version}}")],
            kind="stat",
        ),
        Panel(
            "Ready",
            "short",
            "Each copy: whether /readyz answers 200. A spare copy without a partition is not ready.",
            [Query(f"headrace_ready{OF_WORKER}", "{{instance}}")],
            kind="state-timeline",
            states=READY,
        ),
        Panel(
            "Problems",
            "short",
            "Why a copy is not ready.",
            [Query(f"headrace_problem{OF_WORKER}", "{{instance}}: {{kind}} {{subject}}")],
            kind="state-timeline",
            states=OPEN,
        ),
        Panel(
            "Time of a record by stage",
            "s",
            "p99 of each stage: queued until the poll, decoded, embedded, written or linked, published.",
            quantiles("headrace_stage_seconds", "stage", "{{stage}}", OF_WORKER)[1:],
        ),
        Panel(
            "Where the time goes",
            "percentunit",
            "Seconds of each stage in a second, all copies together.",
            [
                Query(
                    f'sum by (stage) (rate(headrace_stage_seconds_sum{{worker="$worker", stage!="queued"}}{RATE}))',
                    "{{stage}}",
                )
            ],
            stacked=True,
        ),
        Panel(
            "Settled records",
            "rowsps",
            "Records in a second by kind and outcome.",
            [Query(f"sum by (kind, outcome) (rate(headrace_records_total{OF_WORKER}{RATE}))", "{{kind}} {{outcome}}")],
        ),
        Panel(
            "Delay",
            "s",
            "p99 from the change in the catalogue (occurred_at) and from its publication until it is applied, by kind.",
            [
                quantiles("headrace_delay_seconds", "kind", "occurred, {{kind}}", OF_WORKER)[1],
                quantiles("headrace_publication_delay_seconds", "kind", "published, {{kind}}", OF_WORKER)[1],
            ],
        ),
        Panel(
            "Lag in seconds by partition",
            "s",
            "Age of the oldest record that is not settled.",
            [Query(f"headrace_lag_seconds{OF_WORKER}", "{{topic}}-{{partition}}")],
        ),
        Panel(
            "Lag in records by partition",
            "short",
            "Records that are not read yet, and records behind an open transaction, which no lag counts.",
            [
                Query(f"headrace_lag{OF_WORKER}", "{{topic}}-{{partition}}"),
                Query(f"headrace_open_transaction_records{OF_WORKER}", "{{topic}}-{{partition}} open transaction"),
            ],
        ),
        Panel(
            "Duration of a batch",
            "s",
            "From the poll to the acknowledged receipts.",
            quantiles("headrace_batch_seconds", "worker", "", OF_WORKER),
        ),
        Panel(
            "Records in a batch",
            "short",
            "Small batches: the worker waits for records. Full batches: it is behind, or as fast as it can be.",
            quantiles("headrace_batch_records", "worker", "", OF_WORKER),
        ),
        Panel(
            "Calls of its store",
            "s",
            "p99 of a call by operation.",
            quantiles("headrace_store_call_seconds", "store, operation", "{{store}} {{operation}}", OF_WORKER)[1:],
        ),
        Panel(
            "Store errors and retries",
            "cps",
            "Failed calls in a second by kind, and attempts after a failed one.",
            [
                Query(
                    f"sum by (store, kind) (rate(headrace_store_errors_total{OF_WORKER}{RATE}))", "{{store}} {{kind}}"
                ),
                Query(f"sum by (store) (rate(headrace_retries_total{OF_WORKER}{RATE}))", "{{store}} retries"),
            ],
        ),
        Panel(
            "Held topics and partitions",
            "short",
            "1 while a topic is held until somebody removes the cause; and how many partitions cannot be unpacked.",
            [
                Query(f"headrace_held_topics{OF_WORKER}", "{{topic}}"),
                Query(f"headrace_held_partitions{OF_WORKER}", "partitions of {{instance}}"),
            ],
        ),
        Panel(
            "Partitions and rebalances",
            "short",
            "Partitions of each copy, and rebalances in the last ten minutes.",
            [
                Query(f"headrace_partitions_assigned{OF_WORKER}", "{{instance}} partitions"),
                Query(
                    f"sum by (instance) (increase(headrace_rebalances_total{OF_WORKER}[10m]))",
                    "{{instance}} rebalances",
                ),
            ],
        ),
        Panel(
            "What a person should see",
            "short",
            "In the last hour: version conflicts, opened breakers, offsets that expired unread, dropped spans.",
            [
                Query(f"sum(increase(headrace_version_conflicts_total{OF_WORKER}[1h]))", "conflicts"),
                Query(
                    f"sum by (topic) (increase(headrace_breaker_opened_total{OF_WORKER}[1h]))", "breaker of {{topic}}"
                ),
                Query(f"sum by (topic) (increase(headrace_expired_unread_total{OF_WORKER}[1h]))", "{{topic}} expired"),
                Query(f"sum(increase(headrace_spans_dropped_total{OF_WORKER}[1h]))", "dropped spans"),
            ],
        ),
        Panel(
            "Memory",
            "bytes",
            "Resident memory of each copy.",
            [Query(f"process_resident_memory_bytes{OF_WORKER}", "{{instance}}")],
        ),
        Panel(
            "Processor",
            "percentunit",
            "Share of one core that each copy uses.",
            [Query(f"rate(process_cpu_seconds_total{OF_WORKER}{RATE})", "{{instance}}")],
        ),
    ],
)
