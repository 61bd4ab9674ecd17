"""`hocket doctor`: what it finds, and what it says to do about it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hocket.instance import checkup
from hocket.instance.limits import room
from tests.integration.programs import environment


def doctor(*words: str, files: int = 0, **options: Any) -> tuple[int, str, str]:
    limit = ["prlimit", f"--nofile={files}:{files}"] if files else []
    done = subprocess.run(
        [*limit, sys.executable, "-m", "hocket", "doctor", *words],
        env=environment(),
        **options,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


def test_it_measures_what_a_client_takes_on_this_machine() -> None:
    status, said, _ = doctor("--json", "--users", "100")
    findings = {finding["what"]: finding for finding in json.loads(said)}
    each = int(findings["memory"]["found"].split(" ")[0])
    assert 500 < each < 4_000
    assert findings["memory"]["advice"] == ""
    assert status == any(finding["advice"] for finding in findings.values())


def test_what_it_measures_has_nothing_to_do_with_the_server_of_this_folder(tmp_path: Path) -> None:
    (tmp_path / "hocket.toml").write_text('workers = 3\npath = "/chat/"\ndata = "kept"\n')
    status, said, wrong = doctor("--json", "--users", "100", cwd=tmp_path)
    assert (status < 2, wrong) == (True, "")
    (memory,) = [finding for finding in json.loads(said) if finding["what"] == "memory"]
    assert 500 < int(memory["found"].split(" ")[0]) < 4_000
    assert [each.name for each in tmp_path.iterdir()] == ["hocket.toml"]


def test_few_open_files_are_said_and_no_trouble() -> None:
    for files, measured in ((1_024, True), (160, False)):
        status, said, wrong = doctor("--json", "--users", "5000", files=files)
        assert (status, wrong) == (1, "")
        findings = {finding["what"]: finding for finding in json.loads(said)}
        assert "LimitNOFILE" in findings["open files"]["advice"]
        assert ("could not be measured" in findings["memory"]["found"]) != measured


def test_people_read_lines() -> None:
    _, said, _ = doctor("--users", "9000000")
    assert said.startswith("For 9000000 users:\n")
    assert "       -> --workers " in said


def test_a_number_of_users_that_is_none() -> None:
    assert doctor("--users", "-1")[0] == 2
    assert "from 1 to 10000000" in doctor("--users", "-1")[2]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A machine of the test's making: files of its kernel by path."""
    files = {
        "/proc/sys/net/core/somaxconn": "4096",
        "/proc/sys/net/ipv4/tcp_max_syn_backlog": "4096",
        "/proc/sys/net/ipv4/ip_local_port_range": "1024\t65535",
        "/proc/sys/net/ipv4/tcp_mem": "100000\t200000\t400000",
    }
    monkeypatch.setattr(checkup, "read", lambda path: files.get(path, ""))
    monkeypatch.setattr(checkup, "open_files", lambda: 20_000)
    return files


def advice(users: int, workers: int = 1) -> dict[str, str]:
    findings: list[Any] = checkup.examine(users, workers)
    return {finding.what: finding.advice for finding in findings if finding.advice}


def test_nothing_is_to_do_where_everything_fits(machine: dict[str, str]) -> None:
    assert advice(19_000) == {}
    assert advice(50_000, workers=3) == {}


def test_queues_need_not_be_longer_than_there_are_users(machine: dict[str, str]) -> None:
    machine["/proc/sys/net/core/somaxconn"] = "2048"
    machine["/proc/sys/net/ipv4/tcp_max_syn_backlog"] = "2048"
    assert advice(2_000) == {}
    assert len(advice(3_000)) == 2


def test_each_limit_has_its_advice(machine: dict[str, str]) -> None:
    assert "--workers 3 (or --max-connections 50000)" in advice(50_000)["open files"]
    machine["/proc/sys/net/core/somaxconn"] = "128"
    machine["/proc/sys/net/ipv4/tcp_max_syn_backlog"] = "256"
    machine["/proc/sys/net/ipv4/ip_local_port_range"] = "32768\t60999"
    machine["/proc/sys/net/ipv4/tcp_mem"] = "10000\t20000\t40000"
    found = advice(200_000, workers=12)
    assert found["net.core.somaxconn"].startswith("sysctl -w net.core.somaxconn=4096")
    assert found["net.ipv4.tcp_max_syn_backlog"].startswith("sysctl -w")
    assert "='1024 65535'" in found["net.ipv4.ip_local_port_range"]
    assert found["net.ipv4.tcp_mem"] == "sysctl -w net.ipv4.tcp_mem='100000 150000 200000'"


def test_what_no_setting_helps_is_none_to_set(machine: dict[str, str]) -> None:
    """Behind one proxy an address has no more ports than all."""
    ports = "net.ipv4.ip_local_port_range"
    found = {each.what: each for each in checkup.examine(200_000, 12)}
    assert found[ports].advice == ""
    assert "200000 users take 4 addresses" in found[ports].found


def test_open_files_have_a_bound_of_their_own(machine: dict[str, str]) -> None:
    machine["/proc/sys/fs/nr_open"] = "1048576"
    assert "fs.nr_open" not in advice(50_000)["open files"]
    assert "sysctl -w fs.nr_open=1100128, and then" in advice(1_000_000)["open files"]


def test_what_fits_is_the_least_of_all_bounds(
    machine: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine["/proc/meminfo"] = f"MemAvailable:  {8 << 20} kB"
    assert checkup.fits(3) == 3 * room(20_000)
    monkeypatch.setattr(checkup, "open_files", lambda: 1 << 20)
    assert checkup.fits(1) == 400_000  # pages that sockets may take
    machine["/proc/meminfo"] = f"MemAvailable:  {1 << 10} kB"
    assert 100 < checkup.fits(1) < 400


def test_the_settings_of_this_folder_let_in_so_many() -> None:
    assert checkup.bound(50_000, 0) == []
    assert [each.advice for each in checkup.bound(50_000, 50_000)] == [""]
    (too_few,) = checkup.bound(50_000, 10_000)
    assert "--max-connections 50000" in too_few.advice


def test_what_could_not_be_measured_is_not_called_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup, "read", lambda path: "")
    with pytest.raises(OSError, match="smaps_rollup"):
        checkup._anonymous(1)
    assert not checkup.memory(10).known


def test_other_systems_have_no_such_files(machine: dict[str, str]) -> None:
    machine.clear()
    assert advice(1_000) == {}


def test_where_a_package_is_missing(machine: dict[str, str], monkeypatch: Any) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert advice(10)["uvloop"] == "the event loop is slower without it: pip install uvloop"


@pytest.mark.parametrize(
    ("limits", "free"),
    [
        ({}, 8 << 30),
        ({"memory.max": "max", "memory.current": "1000"}, 8 << 30),
        ({"memory.max": str(1 << 30), "memory.current": str(1 << 29)}, 1 << 29),
        (
            {
                "memory.max": str(1 << 30),
                "memory.current": str(1 << 29),
                "memory.stat": f"anon 5\ninactive_file {1 << 28}",
            },
            3 << 28,
        ),
        (
            {
                "memory/memory.limit_in_bytes": str(1 << 30),
                "memory/memory.usage_in_bytes": str(1 << 28),
            },
            3 << 28,
        ),
    ],
)
def test_a_container_has_less_memory_than_its_machine(
    machine: dict[str, str], limits: dict[str, str], free: int
) -> None:
    machine["/proc/meminfo"] = f"MemTotal: 1 kB\nMemAvailable:  {8 << 20} kB"
    machine.update({f"/sys/fs/cgroup/{name}": text for name, text in limits.items()})
    assert checkup._free_memory() == free


@pytest.mark.parametrize(
    ("configured", "flag", "told"),
    [
        ("'--prefix=/opt/python' '--enable-shared'", "-fprofile-use", True),  # pyenv
        ("'--enable-optimizations' '--with-lto'", "-fprofile-use", False),  # a container
        ("'--enable-shared' '--prefix=/usr'", "", False),  # Debian
        (None, None, False),  # Windows
    ],
)
def test_a_python_that_could_be_quicker_is_told(
    monkeypatch: pytest.MonkeyPatch, configured: str | None, flag: str | None, told: bool
) -> None:
    known = {"CONFIG_ARGS": configured, "PGO_PROF_USE_FLAG": flag}
    monkeypatch.setattr("sysconfig.get_config_var", known.get)
    found = {each.what: each for each in checkup.examine(100, 1)}["Python"]
    assert ("without --enable-optimizations" in found.found) == told
    assert found.advice == ""  # it works as it is
