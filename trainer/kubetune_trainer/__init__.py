"""The workload: prepares data, trains and evaluates, told by one run file and answering with report lines."""
