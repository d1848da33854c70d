"""TOUCH: the only room that does I/O: reads of the cluster, creation of children, the one status patch, events."""
