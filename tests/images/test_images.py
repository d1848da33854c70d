"""The images as their Dockerfiles say: who runs in them, what is in them, and that the operator needs no torch."""

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
OPERATOR, TRAINER = "operator.Dockerfile", "trainer.Dockerfile"
IMAGES = (OPERATOR, TRAINER)
#: What the operator's libraries may take on disk.
OPERATOR_BYTES = 250 * 2**20


def instructions(name: str) -> list[tuple[str, str]]:
    """Return (instruction, its text) of a Dockerfile, with continued lines joined."""
    lines = [line for line in (ROOT / "images" / name).read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    parts = (line.split(None, 1) for line in joined.splitlines() if line.strip())
    return [(word, " ".join(rest.split())) for word, rest in parts]


def last_stage(name: str) -> list[tuple[str, str]]:
    """Return the instructions of the stage that becomes the image."""
    every = instructions(name)
    start = max(index for index, (word, _) in enumerate(every) if word == "FROM")
    return every[start:]


def closure(extra: str) -> set[str]:
    """Return the distributions that `pip install kubetune[extra]` brings, by what is installed here."""
    found: set[str] = set()
    queue = [Requirement(f"kubetune[{extra}]")]
    while queue:
        wanted = queue.pop()
        name = re.sub(r"[-_.]+", "-", wanted.name).lower()
        if name in found and not wanted.extras:
            continue
        found.add(name)
        extras = wanted.extras or {""}
        for text in metadata.requires(wanted.name) or []:
            inner = Requirement(text)
            if inner.marker is None or any(inner.marker.evaluate({"extra": each}) for each in extras):
                queue.append(inner)
    return found


def size(distribution: str) -> int:
    """Return the bytes of a distribution's files."""
    files = metadata.files(distribution) or []
    return sum(Path(str(file.locate())).stat().st_size for file in files if Path(str(file.locate())).is_file())


@pytest.mark.parametrize("name", IMAGES)
def test_image_runs_as_a_user_without_rights(name: str) -> None:
    assert dict(last_stage(name))["USER"] == "65532:65532"


@pytest.mark.parametrize("name", IMAGES)
def test_a_user_without_an_entry_in_passwd_has_a_name_and_a_home(name: str) -> None:
    """Python's getpass and ~ would raise for a number that nobody named."""
    environment = dict(last_stage(name))["ENV"].split()
    assert {"USER=kubetune", "HOME=/tmp"} <= set(environment)


@pytest.mark.parametrize("name", IMAGES)
def test_image_has_neither_compiler_cache_nor_sources(name: str) -> None:
    copied = [text for word, text in last_stage(name) if word == "COPY"]
    assert copied == ["--from=libraries /opt/kubetune /opt/kubetune", "--from=code /code /opt/kubetune"]


@pytest.mark.parametrize("name", IMAGES)
def test_our_code_is_a_layer_by_itself_after_the_libraries(name: str) -> None:
    """A new version is a small download for a node, and a change of the code a short build."""
    stages = [text for word, text in instructions(name) if word == "FROM"]
    assert stages == ["${BASE} AS libraries", "libraries AS code", "${BASE}"]
    before = instructions(name)[: instructions(name).index(("FROM", "libraries AS code"))]
    sources = " ".join(text for word, text in before if word == "COPY").split()
    assert not {"crds", "operator", "trainer", "."} & set(sources)
    installs = [
        text
        for word, text in instructions(name)
        if word == "RUN" and "--prefix=/code ." in text and "--no-deps" in text
    ]
    assert len(installs) == 1


@pytest.mark.parametrize("name", IMAGES)
def test_nothing_is_copied_that_does_not_exist_or_is_not_sent_to_the_builder(name: str) -> None:
    sent = {
        line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")
    }
    for word, text in instructions(name):
        if word == "COPY" and not text.startswith("--from"):
            for source in text.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert source in sent, source


@pytest.mark.parametrize(("name", "extra"), [(OPERATOR, "operator"), (TRAINER, "trainer")])
def test_image_installs_the_extra_with_the_pinned_versions(name: str, extra: str) -> None:
    runs = [text for word, text in instructions(name) if word == "RUN"]
    assert any(
        f"requirements.py {extra} > requirements.txt" in text and "-c constraints.txt -r requirements.txt" in text
        for text in runs
    )
    printed = subprocess.run(
        [sys.executable, "images/requirements.py", extra], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    listed = {_plain(Requirement(line).name) for line in printed.splitlines()}
    wanted = [Requirement(text) for text in metadata.requires("kubetune") or []]
    direct = {_plain(each.name) for each in wanted if each.marker is None or each.marker.evaluate({"extra": extra})}
    assert listed == direct


def test_build_of_the_operator_fails_when_torch_is_there() -> None:
    runs = [text for word, text in instructions(OPERATOR) if word == "RUN"]
    assert any("&& ! /opt/kubetune/bin/python -c 'import torch'" in text for text in runs)


def test_operator_brings_no_deep_learning_library() -> None:
    brought = closure("operator")
    assert {"kopf", "kubernetes", "pydantic"} <= brought
    assert not brought & {"torch", "numpy", "transformers", "pyarrow", "scipy", "peft", "accelerate"}


def test_operator_is_small() -> None:
    assert sum(size(name) for name in closure("operator")) < OPERATOR_BYTES


def test_operator_loads_with_nothing_but_what_it_brings() -> None:
    brought = closure("operator")
    modules = {
        top for top, owners in metadata.packages_distributions().items() if not brought & {_plain(o) for o in owners}
    }
    code = (
        "import sys\n"
        f"absent = {sorted(modules - {'kubetune_api', 'kubetune_operator'})!r}\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in absent:\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "import kubetune_operator.runtime, kubetune_operator.logs\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize(("name", "command"), [(OPERATOR, "kubetune-operator"), (TRAINER, "kubetune_trainer")])
def test_entry_point_exists(name: str, command: str) -> None:
    entry = dict(last_stage(name))["ENTRYPOINT"]
    assert command in entry
    scripts = {point.name: point.module for point in metadata.entry_points(group="console_scripts")}
    assert scripts["kubetune-operator"] == "kubetune_operator.__main__"
