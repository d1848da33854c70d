"""`kubetune`, the command line: for people, against any cluster or the one it brings along."""
