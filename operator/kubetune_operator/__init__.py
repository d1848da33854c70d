"""The control plane of KubeTune: turns FineTuneJob and EvalRun objects into Jobs, and what they report into status."""
