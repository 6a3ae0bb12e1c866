"""Every kind of fault, as far as this machine allows it."""

from chaos.cluster import FAKETIME, Cluster
from chaos.faults import QUICK, SLOW, fill_disk, step_clock
from chaos.losses import LOSSES
from chaos.scene import Fault


def faults_of(cluster: Cluster) -> dict[str, Fault]:
    """By name. What is not possible is noted in `cluster.without`."""
    found = QUICK | SLOW | LOSSES
    if cluster.disks:
        found["full disk"] = fill_disk
    if FAKETIME.exists():
        found["clock step"] = step_clock
    else:
        cluster.without.append("no clock step: Debian's package libfaketime is not installed")
    return found
