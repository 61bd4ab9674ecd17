"""`hocket devices` and `hocket backup`, as an operator meets them."""

from __future__ import annotations

import csv
import io
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from hocket.store.base import Devices, GetNotification, RegisterDevice, SeeUsers
from hocket.store.sqlite.database import NAME
from tests.contract.stores import Process, accept, client, local
from tests.integration.programs import environment
from tests.support import asynchronous

HEADER = "user,provider,token,registered\n"
UNCHECKED = "fcm: its tokens are not checked, as it is not set up here"


def hocket(*words: object, stdin: str = "", status: int = 0, **env: str) -> tuple[str, str]:
    """What it printed, and what it complained of."""
    done = subprocess.run(
        [sys.executable, "-m", "hocket", *map(str, words)],
        input=stdin.encode(),
        env=environment(env),
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == status, done
    return done.stdout.decode(), done.stderr.decode()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_a_wrong_path_is_no_empty_folder_of_data(data: Path) -> None:
    for words in (
        ["devices", "export"],
        ["key", "list"],
        ["key", "revoke", "0" * 16],
        ["notify", "--all", "--title", "x", "--dry-run"],
    ):
        _, why = hocket(*words, "--data", data, status=2)
        assert (
            why == f"hocket: --data {data}: no server keeps its data there (there is no {NAME})\n"
        )
    assert not data.exists()


def test_what_is_exported_can_be_imported(data: Path, tmp_path: Path) -> None:
    odd = 'Ädå, "the" one\nof two\0'.replace("\0", "")
    lines = io.StringIO()
    csv.writer(lines).writerows([("user", "provider", "token"), (odd, "fcm", "t")])
    file = tmp_path / "devices.csv"
    rows = [f"user {number},fcm,t{number},{number}\n" for number in range(2_500)]
    file.write_text(HEADER + "".join(rows))
    assert hocket("devices", "import", file, "--data", data) == (
        "2500 devices imported, 0 of them replaced, 0 lines bad\n",
        UNCHECKED + "\n",
    )
    printed, _ = hocket("devices", "import", "-", "--data", data, stdin=lines.getvalue())
    assert printed == "1 devices imported, 0 of them replaced, 0 lines bad\n"
    exported, _ = hocket("devices", "export", HOCKET_DATA=str(data))
    found = list(csv.DictReader(io.StringIO(exported, newline="")))
    assert len({row["id"] for row in found}) == 2_501
    assert (found[7]["user"], found[7]["provider"], found[7]["token"]) == ("user 7", "fcm", "t7")
    assert float(found[7]["registered"]) == 7.0
    assert found[-1]["user"] == odd
    again, _ = hocket("devices", "import", "-", "--data", data, stdin=exported)
    assert again == "2501 devices imported, 2501 of them replaced, 0 lines bad\n"


def test_an_address_that_two_users_have_stays_with_both(data: Path) -> None:
    lines = "user,provider,token\nada,email,a@b.example\nbob,email,a@b.example\n"
    for replaced in (0, 2):
        printed, _ = hocket("devices", "import", "-", "--data", data, stdin=lines)
        assert printed == f"2 devices imported, {replaced} of them replaced, 0 lines bad\n"


@asynchronous
async def test_both_work_while_a_server_runs(data: Path) -> None:
    process = Process(data)
    async with client(data) as store:
        await store.do(RegisterDevice("ada", "fcm", "t", 1.0))
        exported, _ = hocket("devices", "export", "--data", data)
        assert exported.splitlines()[1].endswith(",ada,fcm,t,1.0")
        hocket("devices", "import", "-", "--data", data, stdin="token,user,provider\nx,bob,fcm\n")
        assert [each.user for each in await store.do(Devices())] == ["ada", "bob"]
    process.kill()


BAD = (
    HEADER + "ada,fcm,t1,\n"
    ",fcm,t2,\n"
    "bob,,t3,\n"
    "bob,fcm\n"
    f"{'x' * 201},fcm,t5,\n"
    "bob,fcm,t6,yesterday\n"
    "bob,fcm,t7,-1\n"
    "bob,fcm,t8,5,more\n"
    f"bob,fcm,{'x' * 8_193},\n"
    "bob,fcm,t10,5\n"
)
NAMED = [
    UNCHECKED,
    "line 3: no user",
    "line 4: no provider",
    "line 5: no token",
    "line 6: user is longer than 200 characters",
    "line 7: registered is 'yesterday', not seconds since 1970",
    "line 8: registered is '-1', not seconds since 1970",
    "line 9: more fields than the first line",
    "line 10: token is longer than 8192 characters",
]


@asynchronous
async def test_bad_lines_are_named_and_skipped(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(BAD)
    printed, named = hocket("devices", "import", file, "--data", data, "--dry-run", status=1)
    assert printed == "2 devices could be imported, 8 lines are bad\n"
    assert named.splitlines() == NAMED
    _, named = hocket("devices", "import", file, "--data", data, "--strict", status=2)
    assert named.splitlines()[-1] == f"hocket: {file}: 8 bad lines; nothing was imported"
    async with local(data) as store:
        assert await store.do(Devices()) == []
    printed, named = hocket("devices", "import", file, "--data", data, status=1)
    assert printed == "2 devices imported, 0 of them replaced, 8 lines bad\n"
    assert named.splitlines() == NAMED
    async with local(data) as store:
        assert [each.token for each in await store.do(Devices())] == ["t1", "t10"]


WEBHOOKS = """user,provider,token
ada,webhook,https://example.com/a
bob,webhook,http://example.com/b
eve,webhook,https://10.0.0.1/c
kim,webhok,https://example.com/d
zoe,pager,4711
"""


@asynchronous
async def test_each_provider_checks_its_tokens(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "webhooks.csv"
    file.write_text(WEBHOOKS)
    words = ("devices", "import", file, "--data", data, "--provider", "pager")
    secret = {"HOCKET_WEBHOOK_SECRET": "whsec_" + "c2VjcmV0" * 4}
    for dry_run, done in (
        (["--dry-run"], "2 devices could be imported, 3 lines are bad\n"),
        ([], "2 devices imported, 0 of them replaced, 3 lines bad\n"),
    ):
        printed, named = hocket(*words, *dry_run, status=1, **secret)
        assert printed == done
        lines = named.splitlines()
        assert [line.partition(":")[0] for line in lines[:3]] == ["line 3", "line 4", "line 5"]
        assert "there is no provider 'webhok'" in lines[2]
        assert lines[3:] == ["pager: its tokens are not checked, as it is not set up here"]
    async with local(data) as store:
        tokens = [each.token for each in await store.do(Devices())]
        assert tokens == ["https://example.com/a", "4711"]


@asynchronous
async def test_a_file_that_breaks_off_says_what_was_imported(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "broken.csv"
    file.write_text(HEADER + "".join(f"u,fcm,t{n},1\n" for n in range(1_200)) + 'u,fcm,"t\n')
    _, complaint = hocket("devices", "import", file, "--data", data, status=2)
    assert complaint.splitlines()[-1] == (
        "hocket: line 1202: unexpected end of data; the rest was not read; "
        "at least 1000 devices were imported"
    )
    async with local(data) as store:
        found = await store.do(Devices(limit=5_000))
        assert len(found) == 1_000


def test_many_bad_lines_are_counted(data: Path) -> None:
    bad = HEADER + "x,\n" * 1_000
    _, named = hocket("devices", "import", "-", "--data", data, stdin=bad, status=1)
    assert len(named.splitlines()) == 21
    assert named.splitlines()[-1] == "more lines are bad and not named"


def test_what_is_no_such_file_is_one_line(data: Path, tmp_path: Path) -> None:
    binary = tmp_path / "binary.csv"
    binary.write_bytes(HEADER.encode() + b"ada,fcm,\xff\xfe\n")
    quote = tmp_path / "quote.csv"
    quote.write_text(HEADER + 'ada,fcm,"t\n')
    head = tmp_path / "head.csv"
    head.write_text("user,token\na,b\n")
    for words, why in (
        (["import", "nowhere.csv", "--data", data], "nowhere.csv: No such file or directory"),
        (["import", head, "--data", data], "must name the columns provider"),
        (["import", binary, "--data", data], "can't decode byte 0xff"),
        (["import", quote, "--data", data], "unexpected end of data"),
        (["import", "-", "--data", data, "--strict"], "standard input can be read once"),
        (["export"], "--data DIR says where the server keeps its data"),
        (["export", "--data", head], "head.csv is no folder"),
    ):
        _, complaint = hocket("devices", *words, status=2)
        assert complaint.startswith("hocket: ")
        assert complaint.count("\n") == 1
        assert why in complaint


# Backup


@asynchronous
async def test_a_backup_of_a_server_that_runs_is_whole(data: Path, tmp_path: Path) -> None:
    process = Process(data)
    copy = tmp_path / "copy.db"
    async with client(data) as store:
        await store.do(SeeUsers(("ada",)))
        await store.do(accept("before"))
        printed, _ = hocket("backup", copy, "--data", data)
        assert printed == f"{copy}: {copy.stat().st_size} bytes\n"
        await store.do(accept("after"))
    process.kill()
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert sorted(os.listdir(tmp_path)) == ["copy.db", "data"]
    with tempfile.TemporaryDirectory() as other:
        copy.rename(Path(other) / NAME)
        async with local(Path(other)) as store:
            assert (await store.do(GetNotification("before"))).seq == 1
            assert (await store.do(accept("next"))).recipients == 1


def test_a_backup_overwrites_nothing(data: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_text("precious")
    Process(data).kill()
    for words, why in (
        ([there, "--data", data], "is there already; name a new file"),
        ([tmp_path / "none" / "x", "--data", data], "No such file or directory"),
        ([tmp_path / "x", "--data", tmp_path / "nowhere"], "No such file or directory"),
    ):
        _, complaint = hocket("backup", *words, status=2)
        assert why in complaint
        assert complaint.count("\n") == 1
    assert there.read_text() == "precious"
    with sqlite3.connect(data / NAME) as db:
        db.execute("PRAGMA application_id = 5")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    _, complaint = hocket("backup", tmp_path / "x", "--data", data, status=2)
    assert "another program's database" in complaint
    assert not list(tmp_path.glob("x*"))
