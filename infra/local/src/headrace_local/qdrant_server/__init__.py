"""A development server that speaks Qdrant's REST interface over Qdrant's own engine, qdrant-edge.

No package registry has the real server, but PyPI has its engine. Conditions, scores and durability are those of
Qdrant. Replication, snapshots, recommendation, facets and gRPC are missing.
"""
