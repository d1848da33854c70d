"""An API server emulator: Kubernetes' HTTP API over a store in memory or in one SQLite file."""
