"""Ids name the worker that made them."""

from __future__ import annotations

import re

import pytest

from hocket.hub.ids import MOST_WORKERS, Ids, worker_of


@pytest.mark.parametrize("worker", [0, 1, 63, 64, 4095])
def test_an_id_says_which_worker_made_it(worker: int) -> None:
    ids = Ids(worker)
    made = [ids() for _ in range(1000)]
    assert {worker_of(id) for id in made} == {worker}
    assert len({id[2:] for id in made}) == 1000
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{20}", id) for id in made)


def test_every_worker_has_ids_of_its_own() -> None:
    assert len({Ids(worker)()[:2] for worker in range(MOST_WORKERS)}) == MOST_WORKERS


@pytest.mark.parametrize("other", ["", "AA", "A" * 19, "A" * 21, "!A" + "x" * 18, "Ä" * 20])
def test_what_is_no_id_names_nobody(other: str) -> None:
    assert worker_of(other) == -1
