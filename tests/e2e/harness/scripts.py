"""What runs inside pods of the scenarios, in the trainer's image, with nothing but what that image has."""

SEED = '''
"""Writes a tiny model with its tokenizer, and rows, onto a volume."""
import json
import pathlib
import sys

sys.path.insert(0, "/code")
import tiny

root = pathlib.Path("/inputs")
tiny.write_model(root / "model", **json.loads(sys.argv[1]))
tiny.write_rows(root / "train.jsonl", tiny.questions(400))
tiny.write_rows(root / "held-out.jsonl", tiny.questions(24, start=500))
print(json.dumps(sorted(str(path.relative_to(root)) for path in root.rglob("*"))))
'''

HOGS = '''
"""Fills the container's memory with many small processes, so that the kernel ends the largest: the trainer."""
import os
import sys
import time

for _ in range(int(sys.argv[1])):
    if os.fork() == 0:
        held = b"x" * (40 << 20)
        time.sleep(60)
        os._exit(len(held) and 0)
time.sleep(60)
'''

LOOK = '''
"""Prints what lies in a workspace, as JSON."""
import json
import pathlib

root = pathlib.Path("/inputs")
files = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
lines = (root / "reports" / "metrics.jsonl")
steps = [json.loads(line) for line in lines.read_text().splitlines()] if lines.exists() else []
pages = {str(path.relative_to(root)): path.read_text()[:15] for path in root.rglob("*.html")}
print(json.dumps({"files": files, "steps": steps, "pages": pages}))
'''
