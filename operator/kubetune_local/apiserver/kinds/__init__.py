"""What each kind does beyond storing: defaults, validation, immutability, graceful deletion."""
