"""Data: rows of a file -> examples -> token ids with a supervision mask -> memory-mapped shards -> packed rows."""
