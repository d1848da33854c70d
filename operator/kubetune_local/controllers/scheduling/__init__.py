"""The scheduler: `requests`, `affinity` and `filters` judge nodes, `message` tells why none fits, `scheduler` binds."""
