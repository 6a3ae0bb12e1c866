"""How the workers do: lag and throughput from their committed offsets, health from their own routes."""
