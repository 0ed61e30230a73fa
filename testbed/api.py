"""Running scenarios from Python: `run` gives a result with tables, verdict and report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed import runner
from testbed.records import Record, read_records
from testbed.store import REPORT, TRIALS, RunDirectory

if TYPE_CHECKING:
    from testbed.runner import Events
    from testbed.scenario import Scenario
    from testbed.workers import Executor


@dataclass(frozen=True)
class Result:
    """A finished run. `tables` is the content of tables.json; `failed` names trials that ended in an error."""

    path: Path
    tables: Mapping[str, Any]
    failed: tuple[str, ...] = ()

    @property
    def verdict(self) -> Mapping[str, Any]:
        """The main effects with intervals, and a sentence that says them."""
        found: Mapping[str, Any] = self.tables["verdict"]
        return found

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.path / REPORT

    @property
    def spending(self) -> Mapping[str, float]:
        """What was asked of paid services and what it cost; empty without any. See docs/schemas.md."""
        return RunDirectory(self.path).spending

    @cached_property
    def records(self) -> list[Record]:
        """Every record of the run."""
        return read_records(self.path / TRIALS)

    @property
    def notes(self) -> dict[str, str]:
        """Key → note of the records that carry one."""
        return {record.key: record.note for record in self.records if record.note}


def run(
    scenario: Scenario,
    out: str | Path | None = None,
    *,
    scenario_text: str | None = None,
    jobs: int = 1,
    executor: Executor = "processes",
    limit: int | None = None,
    restart: bool = False,
    retry_failed: bool = False,
    argv: Sequence[str] = (),
    events: Events | None = None,
) -> Result:
    """Run a scenario (or the rest of it) and write its records, tables and report.

    `out`: run directory, see `run_folder`. `executor`: where `jobs` workers are, `processes` or `ray`. `restart`
    begins anew, `retry_failed` does failed attacks again.
    UserError for faults of the user's; a fault inside an attack is recorded and named in `Result.failed`.
    """
    path = Path(out) if out is not None else run_folder(scenario, limit)
    summary = runner.run(
        scenario,
        path,
        scenario_text=scenario_text,
        jobs=jobs,
        executor=executor,
        limit=limit,
        restart=restart,
        retry_failed=retry_failed,
        argv=argv,
        events=events,
    )
    return Result(path, derive(path), summary.failed)


def run_folder(scenario: Scenario, limit: int | None = None) -> Path:
    """Where a run goes when nothing else is said: `runs/NAME-HASH`, with `-limitN` where it is cut short."""
    return Path("runs") / f"{scenario.name}-{scenario.hash[:6]}{f'-limit{limit}' if limit else ''}"


def derive(path: str | Path) -> dict[str, Any]:
    """Build tables and report of a run directory anew; returns the tables."""
    from testbed.report import write_report
    from testbed.tables import write_tables

    RunDirectory.open(path)
    tables = write_tables(path)
    write_report(path, tables)
    return tables
