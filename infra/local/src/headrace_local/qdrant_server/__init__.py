"""A development server that implements Qdrant's REST interface on Qdrant's own engine, qdrant-edge.

No package registry has the real server, but PyPI has its engine. Conditions, scores and durability are those of
Qdrant. Replication, snapshots, recommendation, facets and gRPC are missing.
"""
