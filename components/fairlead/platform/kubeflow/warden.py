"""The warden: takes the traffic of canaries away that nobody judges any more.

    python -m fairlead.platform.kubeflow.warden [--once] [--look-seconds 3]

A rollout's engine runs in a step of a pipeline, and dies with its pod. Its Lease then ends; whoever goes on with the
rollout takes it over. Until somebody does, nobody watches the canary, so this process, of which one runs in each
namespace that serves (kserve/warden.yaml), sets its share to 0. That comes at most the Lease's 20 seconds, one look
and the gateway's time (together about 25 seconds) after the engine's last renewal. The rollout's state stays as it is:
run again, it goes on and gives the canary its share back.

Exit status: 0 after SIGTERM, or after one look with --once; 1 where the cluster cannot be reached at the beginning.
"""

import argparse
import json
import logging
import signal
import sys
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from fairlead.errors import FairleadError, PlatformError
from fairlead.platform.kubeflow.api import Cluster
from fairlead.platform.kubeflow.charge import (
    DURATION_SECONDS,
    Watched,
    is_held,
    lease_name,
    take_charge,
    version_of,
)
from fairlead.platform.kubeflow.kinds import LEASE
from fairlead.platform.kubeflow.records import ConfigMapRecords
from fairlead.platform.kubeflow.services import ServiceRecord, ServiceRecords
from fairlead.platform.kubeflow.serving import ClusterServing
from fairlead.platform.serving import InChargeError
from fairlead.settings import Settings, settings

logger = logging.getLogger(__name__)


class Warden:
    """Watches the leases of one namespace's rollouts.

    Args:
        cluster: The cluster.
        place: The settings.
    """

    def __init__(self, cluster: Cluster, place: Settings) -> None:
        self._cluster, self._records = cluster, ServiceRecords(cluster)
        self._serving = ClusterServing(cluster, place)
        self._seen: dict[str, Watched] = {}

    def look(self) -> list[str]:
        """Looks at every canary that has traffic; gives the services whose canary lost it."""
        taken = []
        for record in self._records.all().values():
            if record.canary and record.stable and (record.canary_percent or record.shadow_percent):
                if self._nobody_judges(record.name) and self._take_away(record):
                    taken.append(record.name)
            else:
                self._seen.pop(record.name, None)
        return taken

    def _nobody_judges(self, name: str) -> bool:
        """Whether the Lease has not been renewed for its duration, by this process's own clock."""
        lease = self._cluster.get(LEASE, lease_name(name))
        spec = lease["spec"] if lease else {}
        version = version_of(lease)
        known, since = self._seen.get(name, ("", 0.0))
        if version != known:
            self._seen[name] = (version, time.monotonic())
            return lease is None or not is_held(lease)
        if lease is None or not is_held(lease):
            return True
        return time.monotonic() - since > float(spec.get("leaseDurationSeconds", DURATION_SECONDS))

    def _take_away(self, record: ServiceRecord) -> bool:
        try:
            with take_charge(self._cluster, record.name, watched=self._seen[record.name]) as charge:
                changed = self._records.change(record.name, _without_traffic, charge)
                self._serving.router(record.mode).split(changed, charge)
        except InChargeError:
            return False  # somebody went on with it just now
        what = f"nobody judged the canary any more: its {record.canary_percent:g} % were taken away"
        line = {
            "time": datetime.now(UTC).isoformat(timespec="seconds"), "name": record.name, "by": "warden",
            "digest": record.canary, "what": what, "reason": what,
        }  # fmt: skip
        ConfigMapRecords(self._cluster, record.name).append(json.dumps(line))
        logger.warning("%s: %s", record.name, what)
        return True


def _without_traffic(record: ServiceRecord) -> None:
    record.canary_percent, record.shadow_percent = 0.0, 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Watches until it is told to stop.

    Args:
        arguments: The command line without the program's name; sys.argv's where None.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser("warden", description="Takes traffic away from canaries that nobody judges.")
    parser.add_argument("--once", action="store_true", help="look once, waiting for one Lease's duration if need be")
    parser.add_argument("--look-seconds", type=float, default=3.0, help="how often to look")
    parsed = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        warden = Warden(Cluster.connect(settings()), settings())
        warden.look()
    except FairleadError as error:
        sys.stderr.write(f"warden: {error}\n")
        return 1
    until = time.monotonic() + DURATION_SECONDS + parsed.look_seconds
    while not stop.wait(parsed.look_seconds) and not (parsed.once and time.monotonic() > until):
        try:
            warden.look()
        except PlatformError as error:  # the API server is being restarted: the next look sees
            logger.warning("%s", error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
