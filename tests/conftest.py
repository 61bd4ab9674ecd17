"""For every test: servers bind port 0 and say which port they got; no test names a port.

Under HOCKET_NO_SKIP=1 (CI) a skip is a failure: a machine that lacks something must not look green.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Generator

import pytest

NO_SKIP = os.environ.get("HOCKET_NO_SKIP", "") not in ("", "0")

# Tests tell programs, and themselves, to end as a terminal does. What runs in the background of a
# script is deaf to that, and so would be all that it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def fail_a_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if NO_SKIP and report.skipped and not hasattr(report, "wasxfail"):
        where_and_why = report.longrepr
        why = where_and_why[2] if isinstance(where_and_why, tuple) else str(where_and_why)
        report.outcome = "failed"
        report.longrepr = f"HOCKET_NO_SKIP: {why}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    fail_a_skip(report)
    # pytest-xdist sends reports as UTF-8, and dies of half a surrogate pair that a test has logged.
    report.sections = [
        (name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections
    ]
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    fail_a_skip(report)
    return report
