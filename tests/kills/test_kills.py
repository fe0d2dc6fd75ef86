"""50 kills of workers under load that no client notices; and what the harness would notice."""

import os
import sqlite3
from contextlib import closing

import pytest
from ground import Failed
from killer import Killer
from loads import LOADS
from main import run_all, run_load

KILLS = int(os.environ.get("VENVFS_KILLS", "50"))
SEED = int(os.environ.get("VENVFS_KILLS_SEED", "1"))


@pytest.mark.parametrize("mask", ["", "resend"], ids=["resent", "from-buffers"])
def test_no_client_notices_that_workers_die(tmp_path, mask):
    results = run_all(tmp_path, list(LOADS), KILLS, SEED, mask=mask)
    assert [r.line() for r in results if r.wrong] == []
    assert sum(r.kills for r in results) >= KILLS


class KillerOfAll(Killer):
    """Supervisor and worker at once: nobody can go on."""

    def kill_once(self):
        with self.ground.spared():
            if self.ground.row():
                self.kills += self.ground.kill_all() > 0
                self.ended.set()


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(LOADS["tar"], "files", 6000)


@pytest.mark.parametrize("name", LOADS)
def test_a_load_fails_and_does_not_hang_when_nobody_goes_on(small, tmp_path, name):
    result = run_load(name, tmp_path / "ground", 1, SEED, killer_class=KillerOfAll)
    assert result.kills == 1 and result.wrong and "hangs" not in result.wrong


def tamper_tar(load):
    with open(load.at / "d00/e00/f00000", "ab") as f:
        f.write(b"x")


def tamper_pip(load):
    path = next(load.at.rglob("made05/part1/m25.py"))
    path.write_bytes(path.read_bytes()[:-1] + b" ")


def tamper_git(load):
    path = next(load.clones[-1].glob(".git/objects/pack/*.pack"))
    path.chmod(0o644)
    with open(path, "r+b") as f:
        f.seek(5000)
        f.write(b"other bytes")


def tamper_sqlite(load):
    with closing(sqlite3.connect(load.path("WAL"))) as db:
        db.execute("DELETE FROM entry WHERE number = (SELECT max(number) FROM entry)")
        db.commit()


def tamper_unlinked(load):
    (load.at / "new3").touch()


TAMPERS = {"tar": tamper_tar, "pip": tamper_pip, "git": tamper_git, "sqlite": tamper_sqlite,
           "unlinked": tamper_unlinked}


@pytest.mark.parametrize("name", TAMPERS)
def test_a_load_sees_a_wrong_outcome(small, ground, name):
    load = LOADS[name](ground(), SEED)
    load.prepare()
    load.round(0)
    load.check()
    TAMPERS[name](load)
    with pytest.raises(Failed):
        load.check()


def test_a_worker_that_dies_by_itself_is_noticed(ground):
    g = ground()
    load = LOADS["unlinked"](g, SEED)
    load.prepare()
    killer = Killer(g, SEED, 3)
    killer.last[g.row().get("supervisor")] = g.row().get("restarts", 0) - 1
    with pytest.raises(Failed, match="by itself"):
        killer.kill_once()
