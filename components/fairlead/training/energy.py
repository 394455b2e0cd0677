"""The energy of a training, measured by codecarbon without any network.

codecarbon measures the whole machine: from the processor's own counters (RAPL) where they can be read, otherwise from
its nominal power. It runs in the companion process, so neither its import nor its thread slows training.
"""

import logging
import time
from typing import Any

_SECONDS_BETWEEN_MEASUREMENTS = 1.0
_SHORTEST = 0.5  # seconds; less says nothing about the power


class EnergyMeter:
    """Measures from `begin` to `end`."""

    def __init__(self, country: str) -> None:
        """Finds out what can be measured here, which takes a second or two.

        Args:
            country: ISO 3166-1 alpha-3 code, for the grams of CO2 per kilowatt hour.
        """
        logging.getLogger("codecarbon").addFilter(lambda record: record.levelno >= logging.ERROR)
        from codecarbon import OfflineEmissionsTracker  # type: ignore[import-untyped]

        self.tracker = OfflineEmissionsTracker(
            country_iso_code=country,
            measure_power_secs=_SECONDS_BETWEEN_MEASUREMENTS,
            tracking_mode="machine",
            allow_multiple_runs=True,
            save_to_file=False,
            save_to_api=False,
            log_level="error",
        )

    def begin(self) -> None:
        """Starts measuring."""
        self.tracker.start()

    def end(self, seconds: float) -> dict[str, Any]:
        """Stops measuring.

        Args:
            seconds: How long training took: it may have begun before the meter was ready, and is taken to have drawn
                the same power then.

        Returns:
            kilowatt_hours, grams_co2, mean_watts, and the hardware: processor, gpu, country.
        """
        measured = time.perf_counter() - self.tracker._start_time  # noqa: SLF001 - not public
        if measured < _SHORTEST:
            time.sleep(_SHORTEST - measured)
        self.tracker.stop()
        data = self.tracker.final_emissions_data
        whole = seconds / data.duration
        return {
            "kilowatt_hours": data.energy_consumed * whole,
            "grams_co2": data.emissions * 1000 * whole,
            "mean_watts": data.energy_consumed * 3_600_000 / data.duration,
            "measured_seconds": data.duration,
            "processor": data.cpu_model or "",
            "gpu": data.gpu_model or "",
            "country": data.country_iso_code or "",
        }
