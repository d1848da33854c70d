"""The embedded cluster: an API server emulator, the controllers it needs, and a kubelet that runs pods as processes."""
