"""The controllers of the embedded cluster, as clients of its API server: they run unchanged against a real one."""
