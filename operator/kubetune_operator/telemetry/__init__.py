"""Old status -> new status = counters, durations, gauges; and the pages that show them."""
