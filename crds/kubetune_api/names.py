"""Names and labels of everything the operator makes."""

import hashlib

GROUP_LABEL = "kubetune.io"
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGED_BY = "kubetune"
LABEL_KIND = f"{GROUP_LABEL}/kind"
LABEL_NAME = f"{GROUP_LABEL}/name"
LABEL_OWNER_UID = f"{GROUP_LABEL}/owner-uid"
LABEL_STAGE = f"{GROUP_LABEL}/stage"
LABEL_RUN = f"{GROUP_LABEL}/run"
ANNOTATION_CONFIG_DIGEST = f"{GROUP_LABEL}/config-digest"
ANNOTATION_RUN_FILE = f"{GROUP_LABEL}/run-file"

#: Pod and Job names must leave room for the suffixes of the Job controller (-<index>-<5 random>).
MAX_CHILD_NAME = 52


def short_hash(uid: str) -> str:
    """Return 8 hex digits that tell owners of the same name apart."""
    return hashlib.sha256(uid.encode()).hexdigest()[:8]


def child_name(owner: str, uid: str, suffix: str) -> str:
    """Return the deterministic name `<owner>-<suffix>-<hash of uid>` of a child, cut to fit a Job, without dots."""
    tail = f"-{suffix}-{short_hash(uid)}"
    return owner.replace(".", "-")[: MAX_CHILD_NAME - len(tail)].rstrip("-") + tail


def workspace_name(owner: str, uid: str) -> str:
    """Return the name of the owner's workspace claim."""
    return child_name(owner, uid, "ws")


def stage_name(owner: str, uid: str, stage: str, run: int) -> str:
    """Return the name of a stage's Job and run file; `run` counts from 1, one more on each resume."""
    return child_name(owner, uid, stage if run == 1 else f"{stage}-r{run}")


def service_name(job: str) -> str:
    """Return the name of a Job's headless Service: that of the Job; a Service's begins with a letter."""
    return job if job[0].isalpha() else f"n{job}"


def rendezvous_host(job: str) -> str:
    """Return where the pod with index 0 of a Job is found: its host name below the Job's headless Service."""
    return f"{job}-0.{service_name(job)}"


def evaluation_name(owner: str, uid: str) -> str:
    """Return the name of the EvalRun that a FineTuneJob owns."""
    return child_name(owner, uid, "eval")


def label_value(name: str) -> str:
    """Return `name` as a label value (63 characters at most)."""
    return name if len(name) <= 63 else f"{name[:54].rstrip('-._')}-{short_hash(name)}"
