"""Candidates x tasks -> predictions, kept row by row -> comparison, gates, verdict."""
