"""The sentences of a report: what it was made on, where Hocket loses, what a reader has to know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hocket.versus.cells import LOSS, Row, number
from hocket.versus.platforms import PLATFORMS
from hocket.versus.results import Results

STARTING = "The scenarios were chosen by Hocket's authors, and they are what it is made for."
ALWAYS = (
    STARTING,
    "Everything ran on one machine over loopback, the load beside the servers: read ratios, not "
    "absolute figures.",
    "One core for the server and one for the load, unless a row says otherwise. Go would use more "
    "cores by itself; Node.js and Hocket start more processes for that.",
    "How each platform is tuned, and how to put your own source in its place: the fairness page of "
    "the documentation.",
)


@dataclass(frozen=True)
class Standing:
    """A row in which one platform is behind another."""

    row: Row
    behind: str
    ahead: str

    @property
    def factor(self) -> float:
        """How many times as good the other is. Nothing counts as the smallest figure that the table
        shows: two against nothing is not infinitely worse, and does not come first.
        """
        worse, better = (self.row.cells[key].median for key in (self.behind, self.ahead))
        if self.row.measure.better == "more":
            worse, better = better, worse
        return worse / (better or 10**-self.row.measure.digits)

    def text(self) -> str:
        row = self.row
        nothing = 0 in (row.cells[key].median for key in (self.behind, self.ahead))
        worse, better = (
            number(row.cells[key].median, row.measure) for key in (self.behind, self.ahead)
        )
        unit = f" {row.measure.unit}" if row.measure.unit else ""
        factor = "" if nothing else f", {self.factor:.1f} times"
        return (
            f"{row.scenario.title}: {row.measure.title}: {PLATFORMS[self.ahead].name} {better}, "
            f"{PLATFORMS[self.behind].name} {worse}{unit}{factor} ({row.key})"
        )


def failures(results: Results, platform: str) -> list[str]:
    """Scenarios that a platform did not come through: worse than any loss."""
    return [
        f"{scenario}: {PLATFORMS[platform].name} did not come through: {platforms[platform]}"
        for scenario, platforms in results.failed.items()
        if platform in platforms
    ]


def losses(found: Sequence[Row], platform: str) -> list[Standing]:
    """Where a platform is behind the best, the worst first."""
    standings = [
        Standing(row, platform, row.best())
        for row in found
        if platform in row.cells and row.verdict(platform) == LOSS
    ]
    return sorted(standings, key=lambda each: -each.factor)


def about(results: Results) -> str:
    """The machine and all versions in one line."""
    facts = ", ".join(f"{name} {value}" for name, value in results.machine.items())
    return facts + (f"; commit {results.commit}" if results.commit else "")


def remarks(results: Results) -> list[str]:
    """What was left out, failed or disturbed, and whose bias to expect."""
    missing = [f"{PLATFORMS[key].name} is left out: {why}" for key, why in results.missing.items()]
    failed = [
        f"{_extent(results, scenario, key)} figures of {PLATFORMS[key].name} in {scenario}: {why}"
        for scenario, platforms in results.failed.items()
        for key, why in platforms.items()
    ]
    return [*disturbances(results), *missing, *failed, *results.notes, *ALWAYS]


def _extent(results: Results, scenario: str, platform: str) -> str:
    """Of what a platform that failed has in the table."""
    return "Not all" if results.runs.get(scenario, {}).get(platform) else "No"


def disturbances(results: Results) -> list[str]:
    """One line, if anything else ran beside the measurements. More than there are cores is no load,
    but a run of no length, as those of `code` are.
    """
    most = float(results.machine.get("cores", 1 << 10))
    told = {
        name: found
        for name, cores in results.disturbed.items()
        if (found := [each for each in cores if each <= most])
    }
    if not told:
        return []
    each = ", ".join(
        f"{name} ({len(cores)} run{'s' * (len(cores) > 1)}, up to {max(cores):.1f} cores)"
        for name, cores in told.items()
    )
    return [f"Something else ran beside these, so measure again when nothing does: {each}."]
