"""Patroni with a real PostgreSQL on three members: it elects a leader, fails over, and survives a member's death."""

import contextlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from harness import settings
from harness.cluster import OURS, Cluster
from harness.waiting import wait_until

POSTGRES_BINARIES = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))

# Patroni's own least. A leader that dies without a word is replaced when its key's lease has run out.
TTL = 20
TAKEN_BY = 120


class Database:
    """One Patroni with its PostgreSQL, in a process group of its own."""

    def __init__(self, number: int, directory: Path, endpoints: list[str]):
        self.name = f"database-{number}"
        self.rest, self.port = 8100 + number, 5500 + number
        self.directory = directory / self.name
        self.directory.mkdir()
        self.configuration = self.directory / "patroni.yaml"
        self.log = self.directory / "log.txt"
        self.process: subprocess.Popen | None = None
        users = {
            kind: {"username": user, "password": "secret"}
            for kind, user in (("superuser", "postgres"), ("replication", "replicator"), ("rewind", "rewinder"))
        }
        # JSON is YAML.
        self.configuration.write_text(json.dumps({
            "scope": "programs", "name": self.name,
            "restapi": {"listen": f"127.0.0.1:{self.rest}", "connect_address": f"127.0.0.1:{self.rest}"},
            "etcd3": {"hosts": endpoints},
            "bootstrap": {
                "dcs": {
                    "ttl": TTL, "loop_wait": 2, "retry_timeout": 5,
                    "postgresql": {"use_pg_rewind": True, "parameters": {"wal_level": "replica", "fsync": "off"}},
                },
                "initdb": [{"encoding": "UTF8"}, "data-checksums"],
            },
            "postgresql": {
                "listen": f"127.0.0.1:{self.port}", "connect_address": f"127.0.0.1:{self.port}",
                "data_dir": str(self.directory / "data"), "bin_dir": str(POSTGRES_BINARIES),
                "authentication": users, "parameters": {"unix_socket_directories": str(self.directory)},
                "pg_hba": ["host all all 127.0.0.1/32 md5", "host replication all 127.0.0.1/32 md5", "local all all trust"],
            },
        }, indent=1))

    def start(self) -> None:
        owner = [] if os.geteuid() != 0 else ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        if owner:
            shutil.chown(self.directory, "postgres", "postgres")
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*owner, "patroni", str(self.configuration)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self.directory, start_new_session=True, env=os.environ | {"HOME": str(self.directory)})

    def kill(self) -> None:
        """Patroni and PostgreSQL die at once, without a word to anyone."""
        if self.process is None:
            return
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            postmaster = int((self.directory / "data" / "postmaster.pid").read_text().split()[0])
            os.kill(postmaster, signal.SIGKILL)
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None

    def role(self) -> str | None:
        """What its REST interface says it is, while its PostgreSQL runs."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.rest}/patroni", timeout=2) as answer:
                state = json.load(answer)
        except urllib.error.HTTPError as error:
            state = json.load(error)
        except (OSError, ValueError):
            return None
        return state.get("role") if state.get("state") in ("running", "streaming") else None

    def is_leader(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.rest}/leader", timeout=2) as answer:
                return answer.status == 200
        except (OSError, ValueError):
            return False

    def sql(self, statement: str) -> str | None:
        """What PostgreSQL answers, or nothing when it refuses."""
        done = subprocess.run(
            [str(POSTGRES_BINARIES / "psql"), "-qtA", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-c", statement,
             "postgres"],
            env=os.environ | {"PGPASSWORD": "secret", "PGCONNECT_TIMEOUT": "3"}, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else None


def leader(databases: list[Database]) -> Database:
    """The one leader that takes writes."""

    def found() -> list[Database]:
        return [one for one in databases if one.process and one.is_leader() and one.sql("create temp table t(n int)") is not None]

    wait_until(lambda: len(found()) == 1, "one database to lead", TAKEN_BY)
    return found()[0]


def run(directory: Path) -> int:
    if os.geteuid() == 0:
        # A user that is root in its own namespace only cannot become another one.
        pwd.getpwnam("postgres")
    cluster = Cluster(directory / "etcd", [OURS] * 3, enable_grpc_gateway=True)
    databases: list[Database] = []
    try:
        cluster.start()
        endpoints = [member.endpoint for member in cluster.members]
        databases = [Database(number, directory, endpoints) for number in range(2)]
        story(cluster, databases)
    except BaseException:
        for one in databases:
            print(f"==== {one.name}\n{one.log.read_text(errors='replace')[-4000:] if one.log.exists() else ''}", flush=True)
        raise
    finally:
        for one in databases:
            one.kill()
        cluster.close()
    print("1 passed", flush=True)
    return 0


def story(cluster: Cluster, databases: list[Database]) -> None:
    began = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {what}", flush=True)

    databases[0].start()
    first = leader(databases)
    say(f"{first.name} leads")
    databases[1].start()
    second = databases[1]
    wait_until(lambda: second.role() == "replica", "the second to follow", TAKEN_BY)
    say("the other follows")
    assert first.sql("create table ledger(n int)") is not None and first.sql("insert into ledger values (1)") is not None

    cluster.leader().kill()
    say("the leader of etcd is killed")
    wait_until(lambda: first.is_leader() and first.sql("insert into ledger values (2)") is not None, "writes to go on", TAKEN_BY)
    # Longer than the key's lease lives: the leader must have renewed it through the members that are left.
    deadline = time.monotonic() + TTL + 5
    wait_until(lambda: time.monotonic() > deadline or not first.is_leader(), "the lease's time", TTL + 30)
    assert first.is_leader() and first.sql("insert into ledger values (3)") is not None
    say("the database's leader is still the same")
    wait_until(lambda: second.sql("select count(*) from ledger") == "3", "the copy to be whole", TAKEN_BY)

    first.kill()
    say("the database's leader is killed")
    assert leader(databases) is second
    say("the other leads")
    assert second.sql("select count(*) from ledger") == "3", "a write was lost"
    assert second.sql("insert into ledger values (4)") is not None

    first.start()
    wait_until(lambda: first.role() == "replica" and first.sql("select count(*) from ledger") == "4", "the old one to follow", TAKEN_BY)
    say("the old one follows with all rows")
    member = first.directory.parent
    switch = subprocess.run(
        ["patronictl", "-c", str(first.configuration), "switchover", "--force", "--master", second.name, "--candidate", first.name],
        capture_output=True, text=True, check=False, env=os.environ | {"HOME": str(member), "LC_ALL": "C.UTF-8"})
    assert switch.returncode == 0, switch.stdout + switch.stderr
    wait_until(lambda: first.is_leader() and not second.is_leader(), "the switch-over", TAKEN_BY)
    say("patronictl has switched over")
