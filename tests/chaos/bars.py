"""The bars, and where each is proven. A bar without a scenario here names the program that proves it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bar:
    """One bar of reliability, scale or safety."""

    name: str
    says: str
    proof: str
    """A test file or folder, told by its path from the root of the checkout; or a command."""
    selects: str = ""
    """Only the tests whose names contain this."""


BARS = tuple(
    Bar(*row)
    for row in (
        ("R1", "SIGKILL at 100 random points in 200 jobs", "tests/chaos/test_r01_random_kills.py"),
        ("R2", "SIGKILL before and after every write", "tests/chaos/test_r02_every_write.py"),
        ("R3", "response lost after commit, every write", "tests/chaos/test_r03_lost_answers.py"),
        ("R4", "10 % of calls fail for 10 min", "tests/chaos/test_r04_failing_calls.py"),
        ("R5", "API down for 10 min", "tests/chaos/test_r05_outage.py"),
        ("R6", "in-stream errors, 410, cut JSON, silence", "tests/chaos/test_r06_broken_streams.py"),
        ("R7", "events dropped, duplicated, reordered", "tests/chaos/test_r07_wrong_events.py"),
        ("R8", "missed delete, status PATCH failing", "tests/chaos/test_r08_missed_and_refused.py"),
        ("R9", "leader frozen, Lease deleted, clocks wrong", "tests/chaos/test_r09_leadership.py"),
        ("R10", "finished is finished", "tests/chaos/test_r10_finished.py"),
        ("R11", "upgrade and downgrade with running jobs", "tests/chaos/test_r11_upgrade.py"),
        ("R12", "same name again, foreign Job", "tests/chaos/test_r12_names.py"),
        ("R13", "generated specs", "tests/fuzz"),
        ("R14", "RBAC revoked, quota, terminating namespace", "tests/chaos/test_r14_forbidden.py"),
        ("G3", "five disruptions, no retries", "tests/chaos/test_g03_disruptions.py"),
        ("G6", "each failure has its reason and remedy", "tests/chaos/test_g06_reasons.py"),
        ("G7", "Kueue evicts and re-admits", "tests/chaos/test_g07_kueue.py"),
        ("S1", "1,000 jobs at 20/s", "make bench-operator"),
        ("S2", "10,000 objects", "make bench-operator"),
        ("S3", "writes of a lifecycle", "make bench-operator"),
        ("C1", "restricted pods", "tests/cluster/test_security.py", "restricted or admitted"),
        ("C2", "RBAC is golden", "tests/chart"),
        ("C3", "a canary secret shows nowhere", "tests/cluster/test_security.py", "canary"),
        ("O2", "a wedge fails liveness; no series for the deleted", "tests/chaos/test_o02_liveness.py"),
    )
)
