"""Metrics as additive statistics of rows, and the paired statistics that compare candidates on them."""
