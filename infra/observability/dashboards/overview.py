"""Whether every store is fresh, and if not, what is late."""

from dashboards.panels import OBJECTIVE, OPEN, RATE, READY, Dashboard, Panel, Query, quantiles

OVERVIEW = Dashboard(
    uid="headrace-overview",
    title="Headrace: overview",
    description="Whether every store is fresh, and if not, what is late.",
    panels=[
        Panel(
            "Fresh in the last hour",
            "percentunit",
            "Share of the canary's changes that a search found within the objective. The goal is 99 %.",
            [Query("1 - headrace:late:share1h", "{{store}} {{path}}")],
            kind="stat",
        ),
        Panel(
            "Searchable, against the objective",
            "s",
            "Seconds from the publication of a change until a search finds it, measured by the canary in each store.",
            [*quantiles("headrace_searchable_seconds", "store", "{{store}}"), OBJECTIVE],
        ),
        Panel(
            "Links searchable, against the objective",
            "s",
            "Seconds from the publication of a keyword until a link set with it is read from the store.",
            [*quantiles("headrace_searchable_links_seconds", "store", "{{store}}"), OBJECTIVE],
        ),
        Panel(
            "State of each worker",
            "short",
            "Whether a copy of the worker is ready. A gap: no copy answers.",
            [Query("max by (worker) (headrace_ready)", "{{worker}}")],
            kind="state-timeline",
            states=READY,
        ),
        Panel(
            "Alerts",
            "short",
            "Alerts that fire now. Each names its runbook.",
            [
                Query(
                    'count by (alertname, severity) (ALERTS{alertstate="firing"}) or vector(0)',
                    "{{alertname}} {{severity}}",
                )
            ],
            kind="stat",
        ),
        Panel(
            "Open problems",
            "short",
            "What keeps a worker from being ready: a store, a held topic or partition, no assignment.",
            [Query("max by (worker, kind, subject) (headrace_problem)", "{{worker}}: {{kind}} {{subject}}")],
            kind="state-timeline",
            states=OPEN,
        ),
        Panel(
            "Lag in seconds",
            "s",
            "Age of the oldest record that a consumer group has not settled, by topic, as Kafka sees it.",
            [Query("headrace:lag_seconds", "{{group}}{{worker}} {{topic}}")],
        ),
        Panel(
            "Lag in records",
            "short",
            "Records that a consumer group has not committed, by topic.",
            [Query("max by (group, topic) (headrace_group_lag)", "{{group}} {{topic}}")],
        ),
        Panel(
            "From publication to applied",
            "s",
            "p99 by worker and kind: seconds from the publication of the source record until it is applied.",
            quantiles("headrace_publication_delay_seconds", "worker, kind", "{{worker}} {{kind}}")[1:],
        ),
        Panel(
            "Throughput",
            "rowsps",
            "Records that each worker settles in a second, by outcome.",
            [Query(f"sum by (worker, outcome) (rate(headrace_records_total{RATE}))", "{{worker}} {{outcome}}")],
        ),
        Panel(
            "Dead letters by cause",
            "short",
            "Dead letters that wait for a decision, by the worker that failed and the kind of the cause.",
            [
                Query(
                    "max by (failed_worker, cause_kind) (headrace_dead_letters_waiting)",
                    "{{failed_worker}} {{cause_kind}}",
                )
            ],
            stacked=True,
        ),
        Panel(
            "Dead letters parked, and replays",
            "short",
            "Letters that failed too often and were parked, and replayed letters in the last hour by outcome.",
            [
                Query(
                    "max by (failed_worker, cause_kind) (headrace_dead_letters_parked)",
                    "{{failed_worker}} {{cause_kind}} parked",
                ),
                Query("sum by (outcome) (increase(headrace_replays_total[1h]))", "replays {{outcome}}"),
            ],
        ),
        Panel(
            "Canary rounds",
            "short",
            "Canary entities in the last five minutes by store: found by a search, or missing.",
            [
                Query(
                    "sum by (store, kind, result) (increase(headrace_canary_rounds_total[5m]))",
                    "{{store}} {{kind}} {{result}}",
                )
            ],
        ),
        Panel(
            "Error budget burn rate",
            "short",
            "At 1, late changes are 1 %, the whole error budget. Above 14.4 for an hour it is a page.",
            [Query("headrace:late:share1h / 0.01", "{{store}} {{path}}")],
        ),
        Panel(
            "Store errors",
            "cps",
            "Failed calls of a store in a second, by kind.",
            [Query(f"sum by (store, kind) (rate(headrace_store_errors_total{RATE}))", "{{store}} {{kind}}")],
        ),
        Panel(
            "Differences of the stores",
            "short",
            "Entities and link sets of each store that are not what was published, by the comparison of `verify`.",
            [Query("max by (store, difference) (headrace_verify_differences)", "{{store}} {{difference}}")],
        ),
        Panel(
            "Time since the last complete comparison",
            "s",
            "Seconds since a store was last compared completely with the topics. Above three cycles it is a ticket.",
            [
                Query("time() - max by (store) (headrace_verify_last_complete_timestamp_seconds)", "{{store}}"),
                Query("3 * max(headrace_verify_cycle_seconds)", "three cycles"),
            ],
        ),
        Panel(
            "Entities compared",
            "rowsps",
            "Entities and link sets that `verify` compares in a second.",
            [Query(f"sum by (store) (rate(headrace_verify_compared_total{RATE}))", "{{store}}")],
        ),
        Panel(
            "Workers of the supervisor",
            "short",
            "Processes that `headrace work` keeps running, and how often it has started one again in the last hour.",
            [
                Query("headrace_supervisor_worker_up", "{{worker}} runs"),
                Query("sum by (worker) (increase(headrace_supervisor_restarts_total[1h]))", "{{worker}} restarts"),
            ],
        ),
        Panel(
            "Requests of the console",
            "reqps",
            "Answered requests in a second by status, and tries to sign in by result.",
            [
                Query(f"sum by (status) (rate(headrace_console_requests_total{RATE}))", "{{status}}"),
                Query(f"sum by (result) (rate(headrace_console_sign_ins_total{RATE}))", "sign-in {{result}}"),
            ],
        ),
        Panel(
            "Duration of the console's answers",
            "s",
            "p99 of the time from a request to the end of its answer, by page.",
            quantiles("headrace_console_request_seconds", "page", "{{page}}")[1:],
        ),
    ],
)
