"""Batched decoding and answer scoring over one key/value cache design, fast on CPUs."""
