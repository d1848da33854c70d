"""What the operator's scale benchmark is made of: a control plane with an audit log, a kubelet without containers."""
