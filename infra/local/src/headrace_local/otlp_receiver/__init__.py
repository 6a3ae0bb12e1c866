"""A development receiver of traces: OTLP over HTTP and gRPC. It keeps the newest spans and answers a trace by its id.

Protocol: https://opentelemetry.io/docs/specs/otlp/
"""
