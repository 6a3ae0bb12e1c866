"""Mutation tests of the guarantees."""
