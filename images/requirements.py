"""Prints what `pip install .[extra]` installs besides our own code: a layer of an image that outlives our changes.

python3 requirements.py operator > requirements.txt
"""

import sys
import tomllib
from pathlib import Path

if __name__ == "__main__":
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    print(*project["dependencies"], *project["optional-dependencies"][sys.argv[1]], sep="\n")
