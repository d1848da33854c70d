"""Starts a cluster on this machine: the embedded API server or a real control plane, with the kubelet of processes."""
