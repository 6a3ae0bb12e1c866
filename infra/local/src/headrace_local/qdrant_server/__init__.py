"""A development server that speaks Qdrant's REST interface over Qdrant's own engine, qdrant-edge.

The real server is in no package registry; its engine is. What is answered here is what the engine does: conditions,
scores and durability are Qdrant's. Missing are replication, snapshots, recommendation, facets and gRPC.
"""
