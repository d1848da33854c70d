"""Starts a cluster of this machine: the embedded API server and its controllers, or a real control plane; and a kubelet."""
