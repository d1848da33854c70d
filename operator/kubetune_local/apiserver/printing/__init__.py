"""Cells of the tables that `kubectl get` prints: a row function for each built-in kind, columns of custom ones."""
