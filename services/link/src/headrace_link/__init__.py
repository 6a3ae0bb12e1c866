"""The link worker: each product's nearest keywords, kept fresh one change at a time. The protocol: docs/links.md."""
