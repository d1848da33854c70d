"""Artifacts: the tuned model in the forms asked for, each with its lineage, a model card and a digest."""
