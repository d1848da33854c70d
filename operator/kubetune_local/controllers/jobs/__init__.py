"""The Job controller: `view` reads, `indexes` and `policy` are its arithmetic, `decide` decides, `controller` acts."""
