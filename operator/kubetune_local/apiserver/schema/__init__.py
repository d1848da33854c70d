"""Schemas of built-in and custom resources: compile, decode, default, prune, validate."""
