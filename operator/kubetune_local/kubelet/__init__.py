"""A kubelet that runs pods as processes of this machine: a client of the API server, like any kubelet."""
