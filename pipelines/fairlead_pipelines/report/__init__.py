"""The report of a run: one HTML page that stands alone."""

from fairlead_pipelines.report.page import write_report
from fairlead_pipelines.report.runs import Run, find_run, latest_run, read_run

__all__ = ["Run", "find_run", "latest_run", "read_run", "write_report"]
