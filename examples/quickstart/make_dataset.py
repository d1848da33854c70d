"""Makes the quickstart's data: functions of the Python standard library and the first line of their docstrings.

    python make_dataset.py FOLDER

writes `train.jsonl`, `heldout.jsonl` and `examples.jsonl` (solved examples for the prompt, drawn from the training
rows). A row is an instruction, a function without its docstring, and the summary its author wrote. Modules are split
by top-level package, so that nothing of a package is on both sides; whatever still looks alike across the split
(the library copies code from itself) is left out. The same Python gives the same files.
"""

import ast
import hashlib
import json
import re
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

INSTRUCTION = "Write the docstring of this Python function in one line."
#: Not the library itself: tests, demonstrations, bundled third-party code, generated tables, C-module twins.
LEFT_OUT = re.compile(
    r"(^|/)(tests?|idlelib|lib2to3|turtledemo|site-packages|dist-packages|_bundled|pydoc_data|encodings|__phello__"
    r"|_py\w+\.py|_\w*sysconfig\w*\.py|ntpath\.py|this\.py|antigravity\.py)(/|$)"
)
MAX_CODE = 200
WORDS = range(4, 19)
HELD_OUT_SHARE = 0.25
HELD_OUT_ROWS = 120
TRAIN_ROWS = 325
#: Rows of one package at most, on either side: tkinter alone would be an eighth of everything.
TRAIN_CAP, HELD_OUT_CAP = 40, 8
EXAMPLES = 5

Row = dict[str, str]


def source_files(root: Path) -> Iterator[Path]:
    """Yield the library's own source files below `root`, in order of their names."""
    for path in sorted(root.rglob("*.py")):
        if not LEFT_OUT.search(path.relative_to(root).as_posix()):
            yield path


def summary(function: ast.FunctionDef | ast.AsyncFunctionDef) -> str | None:
    """Return the docstring's first paragraph as one line, or None where it makes no good answer."""
    text = " ".join((ast.get_docstring(function) or "").partition("\n\n")[0].split())
    plain = text.isascii() and text[:1].isupper() and text.endswith(".") and "->" not in text
    return text if plain and len(text.split()) in WORDS else None


def code(function: ast.FunctionDef | ast.AsyncFunctionDef, owner: str) -> str:
    """Return the function without docstring and annotations, cut after whole lines."""
    bare = ast.parse(ast.unparse(function)).body[0]
    assert isinstance(bare, ast.FunctionDef | ast.AsyncFunctionDef)
    bare.body, bare.decorator_list, bare.returns = bare.body[1:] or [ast.Pass()], [], None
    for argument in ast.walk(bare.args):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    lines = ast.unparse(ast.fix_missing_locations(bare)).splitlines()
    kept: list[str] = [f"# {owner}"]
    for line in lines:
        if sum(map(len, kept)) + len(line) > MAX_CODE:
            kept.append("    ...")
            break
        kept.append(line)
    return "\n".join(kept)


def functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Yield the public functions and methods of a module, each with the name of its class or an empty string."""
    for node in tree.body:
        for owner, member in [("", node)] + [
            (node.name, child) for child in getattr(node, "body", []) if isinstance(node, ast.ClassDef)
        ]:
            if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef) and not member.name.startswith("_"):
                yield owner, member


def rows_of(root: Path) -> Iterator[Row]:
    """Yield a row for each documented public function below `root`; equal code or equal answers come once."""
    seen: set[str] = set()
    for path in source_files(root):
        parts = path.relative_to(root).with_suffix("").parts
        module = ".".join(part for part in parts if part != "__init__")
        for owner, function in functions(ast.parse(path.read_bytes())):
            answer = summary(function)
            if answer is None:
                continue
            body = code(function, f"{module}.{owner}" if owner else module)
            keys = {answer.lower(), body.partition("\n")[2]}
            if keys & seen:
                continue
            seen |= keys
            yield {"instruction": INSTRUCTION, "input": body, "output": answer, "module": parts[0]}


def rank(text: str) -> float:
    """Return a number in [0, 1) that depends on `text` alone: the draw of the split, without a seed to keep."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:12], 16) / 16**12


def shingles(row: Row, size: int = 8) -> set[tuple[str, ...]]:
    """Return the runs of `size` words of a row's code and answer."""
    found: set[tuple[str, ...]] = set()
    for text in (row["input"].partition("\n")[2], row["output"]):
        words = re.findall(r"\w+", text.lower())
        found |= {tuple(words[at : at + size]) for at in range(len(words) - size + 1)}
    return found


def split(rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """Return (train, held-out) rows: whole packages on one side, and no shared run of words across."""
    ordered = sorted(rows, key=lambda row: rank(row["input"]))
    train = capped((row for row in ordered if rank(row["module"]) >= HELD_OUT_SHARE), TRAIN_CAP)[:TRAIN_ROWS]
    known = set().union(*map(shingles, train))
    other = (row for row in ordered if rank(row["module"]) < HELD_OUT_SHARE and not shingles(row) & known)
    return train, capped(other, HELD_OUT_CAP)[:HELD_OUT_ROWS]


def capped(rows: Iterable[Row], most: int) -> list[Row]:
    """Return the rows in order, no more than `most` of one package."""
    taken: Counter[str] = Counter()
    kept = []
    for row in rows:
        taken[row["module"]] += 1
        if taken[row["module"]] <= most:
            kept.append(row)
    return kept


def write(path: Path, rows: list[Row]) -> None:
    """Write rows as JSON lines."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def main() -> None:
    """Write the three files into the folder given."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    train, held_out = split(list(rows_of(Path(sysconfig.get_path("stdlib")))))
    write(folder / "train.jsonl", train[EXAMPLES:])
    write(folder / "heldout.jsonl", held_out)
    write(folder / "examples.jsonl", train[:EXAMPLES])
    packages = [len({row["module"] for row in rows}) for rows in (train, held_out)]
    print(
        f"{len(train) - EXAMPLES} training rows of {packages[0]} packages, "
        f"{len(held_out)} held-out rows of {packages[1]} other packages, in {folder}"
    )


if __name__ == "__main__":
    main()
