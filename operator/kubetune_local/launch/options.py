"""What `python -m kubetune_local` may be told."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from kubetune_local.kubelet.node import AcceleratorError, accelerator


@dataclass(frozen=True)
class Options:
    """Settings of one cluster."""

    directory: Path
    control_plane: bool
    accelerators: tuple[str, ...]
    node_labels: dict[str, str]
    node_name: str
    mounts_variable: str
    hosts_variable: str
    termination_log_variable: str
    shutdown_seconds: float
    log_level: str


def read_options(arguments: list[str] | None = None) -> Options:
    """Read the command line; ends the process with a usage message when it makes no sense."""
    parser = argparse.ArgumentParser(
        prog="python -m kubetune_local",
        description="A Kubernetes cluster of one node on this machine. Its pods are processes: images are not pulled.",
    )
    add = parser.add_argument
    add("--directory", type=Path, required=True, help="folder of the cluster; its kubeconfig appears there when ready")
    add("--control-plane", action="store_true", help="run etcd and the Kubernetes programs of $KUBEBUILDER_ASSETS")
    add(
        "--accelerator",
        action="append",
        default=[],
        metavar="NAME=COUNT[,product=P][,memory=80Gi]",
        help="declare an extended resource of the node, with the labels of its vendor's feature discovery",
    )
    add("--node-label", action="append", default=[], metavar="KEY=VALUE", help="further label of the node")
    add("--node-name", default="local")
    add("--mounts-variable", default="POD_MOUNTS", help="variable of each container: JSON of mount path to directory")
    add("--hosts-variable", default="POD_HOSTS", help="variable of each container: JSON of host name to address")
    add("--termination-log-variable", default="POD_TERMINATION_LOG", help="variable: file of the termination message")
    add("--shutdown-seconds", type=float, default=10.0, help="time that pods have when the cluster is stopped")
    add("--log-level", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    given = parser.parse_args(arguments)
    try:
        for declaration in given.accelerator:
            accelerator(declaration)
        labels = dict(_label(text) for text in given.node_label)
    except (AcceleratorError, ValueError) as error:
        parser.error(str(error))
    return Options(
        directory=given.directory.resolve(),
        control_plane=given.control_plane,
        accelerators=tuple(given.accelerator),
        node_labels=labels,
        node_name=given.node_name,
        mounts_variable=given.mounts_variable,
        hosts_variable=given.hosts_variable,
        termination_log_variable=given.termination_log_variable,
        shutdown_seconds=given.shutdown_seconds,
        log_level=given.log_level,
    )


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise ValueError(f"--node-label {text!r}: write KEY=VALUE")
    return key, value
