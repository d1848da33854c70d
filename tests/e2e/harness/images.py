"""Our two images, built from their Dockerfiles by buildah, as archives that a cluster can load.

Whoever cannot pull the base image gets one made of Debian's packages. pip reads the configuration that it has on this
machine: a mirror, a certificate or a folder of wheels serves the builds too.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlparse

from e2e.harness.shell import ROOT, program, run

BASE = "docker.io/library/python:3.12-slim"
DEBIAN = "localhost/kubetune/e2e-base:2"
PACKAGES = "python3,python3-venv,ca-certificates,usr-is-merged"
#: What merged folders when the system was laid out; 45 MB that nothing needs afterwards.
PERL = 'usrmerge perl "libperl5*" "perl-modules*"'
BUILD_SECONDS = 1200.0
_ENVIRON = {"BUILDAH_ISOLATION": os.environ.get("BUILDAH_ISOLATION", "chroot")}
#: What pip calls its options, and which of them name files or folders.
_PIP_PATHS = ("find-links", "index-url", "extra-index-url", "constraint", "cert", "client-cert")


@dataclass(frozen=True)
class Image:
    """An image that was built."""

    repository: str
    """repository without a tag."""
    tag: str
    """tag: it changes with the contents."""
    archive: Path
    """archive that holds it."""
    megabytes: float
    """megabytes of its files, uncompressed."""

    @property
    def name(self) -> str:
        """Name by which a pod asks for it."""
        return f"{self.repository}:{self.tag}"


class Builder:
    """Builds images and keeps archives of them in a folder that outlives the run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._base: str | None = None

    def operator(self, label: str = "first") -> Image:
        """Return the operator's image; another label makes another image of the same program."""
        return self._build("operator", "--label", f"io.kubetune.e2e={label}")

    def trainer(self) -> Image:
        """Return the trainer's image."""
        return self._build("trainer")

    def _build(self, name: str, *options: str) -> Image:
        repository = f"localhost/kubetune/{name}"
        command = ["bud", "--layers", "--build-arg", f"BASE={self.base()}", *options, *self._pip()]
        _buildah(*command, "-t", f"{repository}:e2e", "-f", f"images/{name}.Dockerfile", str(ROOT))
        digest = _buildah("images", "--quiet", "--no-trunc", f"{repository}:e2e").split()[0].removeprefix("sha256:")
        image = Image(
            repository, f"e2e-{digest[:12]}", self.folder / f"{name}-{digest[:12]}.tar", _megabytes(repository)
        )
        if not image.archive.exists():
            for old in self.folder.glob(f"{name}-*.tar*"):
                old.unlink()
            part = image.archive.with_suffix(".tar.part")
            _buildah("push", "--quiet", f"{repository}:e2e", f"docker-archive:{part}:{image.name}")
            part.rename(image.archive)
        return image

    def base(self) -> str:
        """Return the base image: the one of $E2E_BASE or of the Dockerfiles where it can be had, or Debian's Python."""
        if self._base is None:
            wanted = os.environ.get("E2E_BASE", BASE)
            self._base = wanted if _can_be_had(wanted) else self._debian(wanted)
        return self._base

    def _debian(self, wanted: str) -> str:
        if not _is_local(DEBIAN):
            print(f"{wanted} cannot be pulled: making a base of Debian's packages", file=sys.stderr)
            root = self.folder / "base.tar"
            trim = [f"--dpkgopt=path-exclude=/usr/share/{each}/*" for each in ("doc", "man", "locale", "info")]
            trim.append('--aptopt=APT::Install-Recommends "false"')
            trim.append(f'--customize-hook=chroot "$1" apt-get purge -q -y --autoremove {PERL}')
            trim.append("--customize-hook=rm -rf $1/var/lib/apt/lists/* $1/var/cache/*")
            command = [program("mmdebstrap"), "--variant=apt", f"--include={PACKAGES}", *trim, "bookworm", str(root)]
            run(*command, seconds=BUILD_SECONDS)
            (self.folder / "base.Dockerfile").write_text("FROM scratch\nADD base.tar /\n")
            _buildah("bud", "-t", DEBIAN, "-f", str(self.folder / "base.Dockerfile"), str(self.folder))
            root.unlink()
        return DEBIAN

    def _pip(self) -> list[str]:
        """Return options that show this machine's pip configuration, and what it names, to a build."""
        settings = pip_configuration(run(sys.executable, "-m", "pip", "config", "list"))
        if not settings:
            return []
        file = self.folder / "pip.conf"
        file.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items()))
        volumes = {"/etc/pip.conf": str(file)}
        for name in _PIP_PATHS:
            for word in settings.get(name, "").split():
                path = _folder_of_index(word) if word.startswith("file:") else word
                if path.startswith("/") and Path(path).exists():
                    volumes[path] = path
        return [f"--volume={source}:{target}:ro" for target, source in sorted(volumes.items())]


def pip_configuration(listing: str) -> dict[str, str]:
    """Return pip's options of `pip config list`: variables win over files, as they do in pip."""
    files: dict[str, str] = {}
    variables: dict[str, str] = {}
    for line in listing.splitlines():
        name, _, value = line.partition("=")
        place, _, option = name.partition(".")
        text = value.strip("'\"").encode().decode("unicode_escape")
        (variables if place == ":env:" else files)[option] = " ".join(text.split())
    return {**files, **variables}


def _folder_of_index(url: str) -> str:
    """Return the folder to show for a package index in files: its pages lead to files beside it."""
    path = Path(unquote(urlparse(url).path))
    return str(path.parent if path.name == "simple" else path)


def _buildah(*arguments: str) -> str:
    return run(program("buildah"), *arguments, seconds=BUILD_SECONDS, environ=_ENVIRON)


def _megabytes(repository: str) -> float:
    number, unit = _buildah("images", "--format={{.Size}}", f"{repository}:e2e").split()[:2]
    return float(number) * {"kB": 1e-3, "MB": 1.0, "GB": 1e3}[unit]


def _is_local(image: str) -> bool:
    command = [program("buildah"), "inspect", "--type=image", image]
    return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0


def _can_be_had(image: str) -> bool:
    if _is_local(image):
        return True
    command = [program("buildah"), "pull", "--quiet", image]
    try:
        return subprocess.run(command, capture_output=True, timeout=300, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False
