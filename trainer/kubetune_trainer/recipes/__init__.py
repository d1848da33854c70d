"""Stages as recipes: each reads top to bottom, and `run(run, workspace, reporter)` returns the Final line."""
