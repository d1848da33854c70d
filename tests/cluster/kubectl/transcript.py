"""Transcripts of kubectl: a file of commands with what they print, played again and compared.

$ kubectl get configmap nothing          a command; what it prints follows, and `[exit N]` unless N is 0
+$ kubectl explain widget                is repeated until it succeeds
-$ kubectl get pods -o name              is repeated until it prints nothing
&3 kubectl get widget one --watch        runs in the background; the session goes on when it has printed something
$ watched                                waits for the 3 lines of the command in the background, and ends it
# text                                   a remark

PYTHONPATH=tests python -m cluster.kubectl.transcript KUBECONFIG    records session.txt anew against a cluster
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from cluster.harness.worlds import kubectl_path

HERE = Path(__file__).parent
SESSION, MANIFESTS = HERE / "session.txt", HERE / "manifests"
SECONDS = 60.0
PAUSE = threading.Event()
#: The server tells what is wrong with an object in no order.
_CAUSES = re.compile(r"(?:^\* \S+: .*\n)+", re.MULTILINE)
_COMMAND = re.compile(r"([-+]?\$|&\d+|#) ")

_RULES = [
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UID"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
    (r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [-+]\d{4}", "TIME"),
    (r'("?resourceVersion"?: )"\d+"', r"\1N"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ [-+]\d{4}", "TIME"),
    (r"(Resource Version: +)\d+", r"\1N"),
    (r"/\S*/(LIVE|MERGED)-\d+/", r"\1/"),
    (r"127\.0\.0\.1:\d+", "HOST:PORT"),
    (r"\b(\d+[smhdy]){1,2}\b", "AGE"),
    (r"-[bcdfghjklmnpqrstvwxz2456789]{5}\b", "-XXXXX"),
    (r"(\w)\.[0-9a-f]{16}\b", r"\1.HASH"),
    (r"(?<=find the requested resource) \(get \S+\)$", ""),  # by clients, to answers that are no Status
    (r"(?<= deleted) from \S+ namespace$", ""),  # said since kubectl 1.34
    (r"spec\.containers\{\w+\}: ", ""),  # said since kubectl 1.36
    (r"(?<=\S) {2,}", "  "),
    (r"[ \t]+$", ""),
]
RULES = [(re.compile(pattern, re.MULTILINE), text) for pattern, text in _RULES]


def normalised(text: str) -> str:
    """Replace what differs from run to run: UIDs, times, versions, ages, ports, generated names, column widths."""
    for pattern, replacement in RULES:
        text = pattern.sub(replacement, text)
    return _CAUSES.sub(lambda found: "".join(sorted(found[0].splitlines(keepends=True))), text)


def commands(session: str) -> list[str]:
    """Return the lines that are not output."""
    return [line for line in session.splitlines() if _COMMAND.match(line)]


class Player:
    """Runs the commands of a session against one cluster."""

    def __init__(self, kubeconfig: Path, home: Path) -> None:
        self._environ = os.environ | {"HOME": str(home), "KUBECTL_EXTERNAL_DIFF": "diff -u"}
        self._environ["KUBECONFIG"] = str(shutil.copy(kubeconfig, home / "kubeconfig"))
        self._watch: Watch | None = None

    def play(self, session: str) -> str:
        """Run all commands in the namespace `trial`; return the new transcript."""
        self.run("kubectl config set-context --current --namespace=trial")
        try:
            return "".join(f"{line}\n{self._play(line)}" for line in commands(session))
        finally:
            if self._watch is not None:
                self._watch.stop()

    def run(self, command: str) -> str:
        """Return what a command prints, normalised, and how it ends."""
        process = subprocess.Popen(
            self._program(command),
            env=self._environ,
            cwd=MANIFESTS,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            output, _ = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return normalised(process.communicate()[0]) + "[did not end]\n"
        end = "" if output.endswith("\n") or not output else "\n"
        return normalised(output) + end + (f"[exit {process.returncode}]\n" if process.returncode else "")

    def _play(self, line: str) -> str:
        start, _, command = line.partition(" ")
        if start == "#":
            return ""
        if start == "+$":
            return self._until(command, lambda output: "[exit " not in output)
        if start == "-$":
            return self._until(command, lambda output: not output)
        if start != "$":
            self._watch = Watch(self._program(command), int(start[1:]), self._environ)
            return ""
        if command == "watched":
            assert self._watch is not None, "no command runs in the background"
            return normalised(self._watch.finish())
        return self.run(command)

    def _until(self, command: str, done: Callable[[str], bool]) -> str:
        deadline = time.monotonic() + SECONDS
        while not done(output := self.run(command)) and time.monotonic() < deadline:
            PAUSE.wait(0.2)
        return output

    def _program(self, command: str) -> list[str]:
        program = kubectl_path()
        assert program is not None, "there is no kubectl in $KUBEBUILDER_ASSETS, nor on the PATH"
        name, *arguments = shlex.split(command)
        assert name == "kubectl", f"only kubectl can be run here, not {name}"
        return [program, *arguments]


class Watch:
    """A command in the background whose first lines are awaited."""

    def __init__(self, command: list[str], lines: int, environ: dict[str, str]) -> None:
        self._wanted = lines
        self._found: list[str] = []
        self._started, self._complete = threading.Event(), threading.Event()
        self._process = subprocess.Popen(
            command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self._started.wait(SECONDS)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._found.append(line)
            if len(self._found) > 1:
                self._started.set()
            if len(self._found) == self._wanted:
                self._complete.set()
        self._started.set()
        self._complete.set()

    def finish(self) -> str:
        """Wait for the lines that are wanted, end the command, return them."""
        self._complete.wait(SECONDS)
        self.stop()
        return "".join(self._found[: self._wanted])

    def stop(self) -> None:
        """End the command."""
        self._process.terminate()
        self._process.wait()
        self._reader.join()


def main() -> None:
    """Record the session anew."""
    with tempfile.TemporaryDirectory() as home:
        recorded = Player(Path(sys.argv[1]), Path(home)).play(SESSION.read_text())
    SESSION.write_text(recorded)


if __name__ == "__main__":
    main()
