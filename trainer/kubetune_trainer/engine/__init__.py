"""The training engine: a slim loop for packed rows, with exact resume."""
