"""Recurring runs: one per name, whatever is asked for and however often."""

import re
from dataclasses import dataclass
from typing import Any

import kfp_server_api as api

from fairlead.errors import ConfigurationError, StateError, nearest
from fairlead.platform.runner.specification import digest_of
from fairlead_pipelines.kfp_server.connection import Server
from fairlead_pipelines.kfp_server.errors import ServerError, is_transient
from fairlead_pipelines.kfp_server.runs import Order
from fairlead_pipelines.kfp_server.uploads import equals

_INTERVAL = re.compile(r"^(\d+)\s*([smhd])$")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_CRONTAB_FIELDS, _KFP_FIELDS = 5, 6
_NICKNAMES = frozenset({"@hourly", "@daily", "@weekly", "@monthly", "@yearly"})
_FIELD = re.compile(r"^[0-9A-Za-z*?/,#-]+$")
_PAGE = 100


@dataclass(frozen=True)
class Schedule:
    """When runs start.

    Attributes:
        cron: As KFP takes it: seconds, minutes, hours, day of month, month, day of week; empty for an interval.
        seconds: The interval.
    """

    cron: str = ""
    seconds: int = 0

    @classmethod
    def parse(cls, text: str) -> "Schedule":
        """Reads a schedule.

        KFP's cron begins with seconds and takes five fields for the first five of its six, so that a line of crontab
        would be run at quite other times; here five fields are crontab's.

        Args:
            text: An interval (30m, 6h, 1d), a line of crontab (five fields) or KFP's own six.

        Raises:
            ConfigurationError: It is neither.
        """
        interval = _INTERVAL.match(text.strip())
        if interval and int(interval[1]):
            return cls(seconds=int(interval[1]) * _SECONDS[interval[2]])
        fields = text.split()
        if text.strip() in _NICKNAMES:
            return cls(cron=text.strip())
        if len(fields) in {_CRONTAB_FIELDS, _KFP_FIELDS} and all(_FIELD.match(field) for field in fields):
            return cls(cron=" ".join(["0", *fields] if len(fields) == _CRONTAB_FIELDS else fields))
        raise ConfigurationError(
            f"{text!r} is no schedule; write an interval (30m, 6h, 1d) or crontab's five fields ('0 3 * * *' is at "
            "03:00, by the server's clock: UTC unless its administrator says otherwise)"
        )

    def trigger(self) -> Any:
        """The schedule, as the API wants it."""
        if self.cron:
            return api.V2beta1Trigger(cron_schedule=api.V2beta1CronSchedule(cron=self.cron))
        return api.V2beta1Trigger(periodic_schedule=api.V2beta1PeriodicSchedule(interval_second=str(self.seconds)))

    def __str__(self) -> str:
        return f"cron {self.cron}" if self.cron else f"every {self.seconds} s"


def schedule_of(recurring: Any) -> Schedule:
    """When a recurring run of the server starts runs."""
    trigger = recurring.trigger
    if trigger and trigger.cron_schedule:
        return Schedule(cron=trigger.cron_schedule.cron or "")
    periodic = trigger.periodic_schedule if trigger else None
    return Schedule(seconds=int(periodic.interval_second or 0) if periodic else 0)


def put(server: Server, order: Order, schedule: Schedule) -> tuple[str, str]:
    """Makes the recurring run of a name what is asked for.

    KFP can change nothing of a recurring run but whether it is paused. So where it differs from what is asked for, a
    new one is made, and then the old one is deleted: a failure in between never leaves none.

    Args:
        server: The server.
        order: What is to run; its name is the recurring run's.
        schedule: When.

    Returns:
        The recurring run's id, and what was done: `created`, `replaced`, `resumed` or `unchanged`.
    """
    stamp = f"fairlead order {digest_of(_identity(order, schedule))}"
    found = _named(server, order.name)
    same = [each for each in found if stamp in (each.description or "")]
    if same:
        paused = same[0].status == "DISABLED"  # unspecified until a controller has seen it
        if paused:
            switch(server, same[0].recurring_run_id, on=True)
        kept, done = str(same[0].recurring_run_id), "resumed" if paused else "unchanged"
    else:
        kept, done = _create(server, order, schedule, stamp), "replaced" if found else "created"
    for old in found:
        if str(old.recurring_run_id) != kept:
            _delete(server, old.recurring_run_id)
    return kept, done


def everything(server: Server) -> list[Any]:
    """All recurring runs that this user sees."""
    found: list[Any] = []
    token = ""
    while True:
        listed = server.ask(
            "listing recurring runs",
            server.recurring.recurring_run_service_list_recurring_runs,
            page_size=_PAGE,
            page_token=token,
            **server.scope,
        )
        found += listed.recurring_runs or []
        token = listed.next_page_token or ""
        if not token:
            return found


def pause(server: Server, name: str) -> None:
    """Pauses the recurring run of a name; one that is paused stays so."""
    for each in _known(server, name):
        switch(server, each.recurring_run_id, on=False)


def resume(server: Server, name: str) -> None:
    """Lets the recurring run of a name go on."""
    for each in _known(server, name):
        switch(server, each.recurring_run_id, on=True)


def delete(server: Server, name: str) -> bool:
    """Deletes the recurring run of a name; its runs stay.

    Returns:
        Whether there was one.
    """
    found = _named(server, name)
    for each in found:
        _delete(server, each.recurring_run_id)
    return bool(found)


def switch(server: Server, recurring_run_id: str, *, on: bool) -> None:
    """Turns a recurring run on or off."""
    service = server.recurring
    call = (
        service.recurring_run_service_enable_recurring_run
        if on
        else service.recurring_run_service_disable_recurring_run
    )
    server.ask("resuming the recurring run" if on else "pausing the recurring run", call, recurring_run_id)


def _known(server: Server, name: str) -> list[Any]:
    found = _named(server, name)
    if not found:
        known = {each.display_name for each in everything(server)}
        raise StateError(
            f"there is no recurring run {name!r}; {nearest(name, known) if known else 'there are none yet'}"
        )
    return found


def _named(server: Server, name: str) -> list[Any]:
    listed = server.ask(
        "looking for the recurring run",
        server.recurring.recurring_run_service_list_recurring_runs,
        filter=equals("display_name", name),
        page_size=_PAGE,
        **server.scope,
    )
    return list(listed.recurring_runs or [])


def _create(server: Server, order: Order, schedule: Schedule, stamp: str) -> str:
    body = api.V2beta1RecurringRun(
        display_name=order.name,
        description=stamp,
        experiment_id=order.experiment_id,
        pipeline_version_reference=order.reference(),
        runtime_config=order.configuration(),
        trigger=schedule.trigger(),
        mode=api.RecurringRunMode.ENABLE,
        max_concurrency="1",
        no_catchup=True,
        **({"service_account": order.service_account} if order.service_account else {}),
    )
    try:
        made = server.ask(
            "creating the recurring run",
            server.recurring.recurring_run_service_create_recurring_run,
            recurring_run=body,
            again=False,
        )
    except ServerError as error:
        found = [each for each in _named(server, order.name) if stamp in (each.description or "")]
        if not is_transient(error) or not found:
            raise
        made = found[0]  # the answer got lost
    return str(made.recurring_run_id)


def _delete(server: Server, recurring_run_id: str) -> None:
    server.ask(
        "deleting the recurring run",
        server.recurring.recurring_run_service_delete_recurring_run,
        recurring_run_id,
        again=False,
    )


def _identity(order: Order, schedule: Schedule) -> dict[str, Any]:
    return {
        "version": order.version.version_id,
        "arguments": dict(order.arguments),
        "experiment": order.experiment_id,
        "account": order.service_account,
        "root": order.pipeline_root,
        "schedule": str(schedule),
    }
