"""When a cron line fires: checked and computed by the very code that Prefect's scheduler runs.

Five fields, in the time zone that is named beside them. What Prefect 3.8.8 does when the clocks change
(tests hold it to this):

* Each local day that a daily line names gets one run, never none and never two.
* A time that does not exist (02:30 in Berlin on the last Sunday of March) is taken an hour early by
  the clock on the wall: 01:30.
* A time that exists twice (02:30 on the last Sunday of October) is taken the first time.
* A line that fires more than once an hour rests for the repeated hour: every minute means one gap of
  an hour a year. In the zone UTC nothing of this happens.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast
from zoneinfo import available_timezones

from prefect.server.schemas.schedules import CronSchedule
from prefect.utilities.asyncutils import run_coro_as_sync
from pydantic import ValidationError

from tasks.errors import ConfigError, did_you_mean, quoted

EXAMPLE = "0 3 * * *"


def check(cron: str, timezone: str, place: str) -> None:
    """Refuses a line or a zone that would not do what its author thinks.

    Args:
        cron: Five fields, or a word such as @daily.
        timezone: A name of the IANA database.
        place: What stands before their names where they were written: `--`, or the path of a key.

    Raises:
        ConfigError: Not a cron line, one that never fires, or an unknown zone.
    """
    if timezone not in available_timezones() - {"localtime"}:  # which would move with the machine
        fix = did_you_mean(timezone, available_timezones()) if timezone else ""
        near = fix if fix.startswith("did you mean") else "an example: Europe/Berlin"
        raise ConfigError(f"{place}timezone {quoted(timezone)} is not known", fix=near)
    example = f"an example: {EXAMPLE!r} is every day at 03:00"
    if len(cron.split()) != 5 and not cron.startswith("@"):  # a sixth field would be seconds
        count = len(cron.split())
        raise ConfigError(f"{place}cron {quoted(cron)} has {count} fields, 5 are expected", fix=example)
    try:
        upcoming(cron, timezone, datetime.now(UTC))
    except ValidationError:
        raise ConfigError(f"{place}cron {quoted(cron)} is not a cron line", fix=example) from None
    except ValueError:
        raise ConfigError(f"{place}cron {quoted(cron)} never comes", fix=example) from None


def upcoming(cron: str, timezone: str, after: datetime, count: int = 1) -> list[datetime]:
    """The next times of a line, aware, in its own zone.

    In the hour before the clocks go forward Prefect names one time that is just over; it is left out.

    Raises:
        ValueError: It is no cron line, or no such time comes.
    """
    line = CronSchedule(cron=cron, timezone=timezone)
    times: list[datetime] = cast(Any, run_coro_as_sync)(line.get_dates(n=count + 1, start=after))
    return [time for time in times if time >= after][:count]


def following(cron: str, timezone: str) -> datetime | None:
    """The next time from now on; None if there is none or the line is none that Prefect can read."""
    try:
        return next(iter(upcoming(cron, timezone, datetime.now(UTC))), None)
    except ValueError:
        return None
