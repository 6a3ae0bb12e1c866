"""Ports, files and directories of a stack, without servers."""

import os
import stat
import tempfile
from pathlib import Path

import pytest

from headrace_local import system_user
from headrace_local.errors import StackError
from headrace_local.ports import HIGHEST, LOWEST, free_ports
from headrace_local.record import Entry, Record, read_record, write_record
from headrace_local.settings_file import read_settings, write_settings
from headrace_local.stack import Stack
from headrace_local.system_user import SystemUser

STRANGER = SystemUser(uid=54321, gid=54321)


def test_ports_are_different_and_below_those_of_outgoing_connections() -> None:
    chosen = free_ports(50)
    assert len(set(chosen)) == 50
    assert all(LOWEST <= port < HIGHEST < 32768 for port in chosen)


def test_a_record_is_read_back_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "stack.json"
    record = Record(servers={"kafka": Entry(ports={"client": 20001}, pid=7, created=1.5)})
    assert read_record(path) == Record()
    write_record(path, record)
    assert read_record(path) == record
    path.write_text(path.read_text()[:20])
    with pytest.raises(StackError, match="is damaged"):
        read_record(path)


def test_settings_are_private_from_the_first_byte(tmp_path: Path) -> None:
    path = tmp_path / "stack.env"
    path.write_text("HEADRACE_OLD=1\n")
    path.chmod(0o644)
    write_settings(path, {"HEADRACE_POSTGRES__DSN": "postgresql://u:p=w@h/d"})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_settings(path) == {"HEADRACE_POSTGRES__DSN": "postgresql://u:p=w@h/d"}


def test_a_directory_that_the_servers_user_cannot_enter_is_replaced_by_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system_user, "STATE", tmp_path / "state")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    place = system_user.home(closed, "postgres", STRANGER)
    assert place.parent.parent == tmp_path / "state"
    assert (closed / "postgres").resolve() == place
    assert system_user.home(closed, "postgres", STRANGER) == place
    (place / "data").mkdir()
    system_user.forget(closed)
    assert not place.exists()
    assert not closed.exists()


def test_data_that_its_server_can_no_longer_reach_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    tmp_path.chmod(0o700)
    with pytest.raises(StackError, match=r"chmod o\+x"):
        system_user.home(tmp_path, "postgres", STRANGER)


def test_the_access_of_a_user_depends_on_every_parent_directory() -> None:
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        below = top / "inner" / "data"
        below.mkdir(parents=True)
        top.chmod(0o755)
        assert STRANGER.can_reach(below)
        (top / "inner").chmod(0o700)
        assert not STRANGER.can_reach(below)
        assert SystemUser(os.getuid(), os.getgid()).can_reach(below)


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(StackError, match="no server named redis; there are kafka, elasticsearch, postgres, qdrant"):
        Stack(services={"redis"})
    with pytest.raises(StackError, match="no server named kafka; there are kafka-1, kafka-2, kafka-3"):
        Stack(kafka_nodes=3, services={"kafka"})


def test_a_stack_that_never_ran_has_nothing_to_stop(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "never")
    assert stack.status() == []
    stack.down()
    stack.destroy()
    with pytest.raises(StackError, match="start it with `headrace up`"):
        stack.pid("kafka")
