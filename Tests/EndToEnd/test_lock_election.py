"""Locks and elections as services: the same answers as etcd's, the same line for them and for etcd's own clients."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from google.protobuf import message_factory

from harness.api import Calls, Client, Failure, api
from harness.cluster import GO, OURS
from harness.etcdctl import Session
from harness.waiting import wait_until

EXPIRED = Failure("UNKNOWN", "mutex: session is expired")


def request(method: str, **fields: Any) -> Any:
    return message_factory.GetMessageClass(api().methods[method].input_type)(**fields)


class Waiting:
    """A call that is under way: it is awaited, or given up."""

    def __init__(self, client: Client, method: str, **fields: Any):
        self._future = client.method(method).future(request(method, **fields), timeout=60.0)

    @property
    def is_done(self) -> bool:
        return self._future.done()

    def answer(self) -> Any:
        try:
            return self._future.result(timeout=30.0)
        except grpc.RpcError as error:
            return Failure(error.code().name, error.details())

    def cancel(self) -> None:
        self._future.cancel()


class Observation:
    """What an observer of an election is told."""

    def __init__(self, client: Client, name: bytes):
        self.told: list[Any] = []
        self._changed = threading.Condition()
        self._call = client.method("Election.Observe")(request("Election.Observe", name=name), timeout=60.0)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            for response in self._call:
                self._add(response)
        except grpc.RpcError as error:
            self._add(Failure(error.code().name, error.details()))

    def _add(self, what: Any) -> None:
        with self._changed:
            self.told.append(what)
            self._changed.notify_all()

    def wait(self, count: int) -> list[Any]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.told) >= count, 30.0), f"told {self.told}, awaited {count}"
            return list(self.told)

    def close(self) -> None:
        self._call.cancel()


@pytest.fixture
def client_of():
    clients: list[Client] = []

    def make(member: Any) -> Client:
        clients.append(Client(member.endpoint))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def good(answer: Any) -> Any:
    assert not isinstance(answer, Failure), answer
    return answer


def grant(client: Client, *leases: int, ttl: int = 100) -> None:
    for lease in leases:
        good(client.call("Lease.LeaseGrant", ID=lease, TTL=ttl))


def keys(client: Client, prefix: bytes) -> list[bytes]:
    found = good(client.call("KV.Range", key=prefix, range_end=prefix[:-1] + bytes([prefix[-1] + 1])))
    return [pair.key for pair in found.kvs]


def standing(client: Client, prefix: bytes, count: int) -> None:
    """Waits until so many stand in the line."""
    wait_until(lambda: len(keys(client, prefix)) == count, f"{count} in the line {prefix!r}")


# ---- The answers


def test_lock_answers(pair):
    def script(calls: Calls) -> None:
        calls("Lock.Lock", name=b"a", lease=12345)
        for lease in (7, 8, -9):
            calls("Lease.LeaseGrant", ID=lease, TTL=100)
        calls("Lock.Lock", name=b"a", lease=7)
        # The session has it already.
        calls("Lock.Lock", name=b"a", lease=7)
        calls("Lock.Lock", name=b"", lease=7)
        calls("Lock.Lock", name=b"\xff", lease=8)
        calls("Lock.Lock", name=b"negative", lease=-9)
        calls("Lock.Lock", name=b"b/c", lease=8)
        calls("Lock.Unlock", key=b"")
        calls("Lock.Unlock", key=b"no such key")
        calls("Lock.Unlock", key=b"a/7")
        calls.everything()
        calls("Lock.Lock", name=b"a", lease=8)
        calls("Lease.LeaseRevoke", ID=8)
        calls.everything()

    pair.compare_calls(script)


def test_a_lock_without_a_lease_gets_one_of_a_minute(pair):
    for member in (pair.genuine, pair.ours):
        client = Client(member.endpoint)
        lock = good(client.call("Lock.Lock", name=b"n"))
        (lease,) = good(client.call("Lease.LeaseLeases")).leases
        assert lock.key == b"n/%x" % lease.ID
        assert good(client.call("Lease.LeaseTimeToLive", ID=lease.ID)).grantedTTL == 60
        client.close()


def test_waiting_for_a_lock(pair):
    def script(calls: Calls) -> None:
        for lease in (1, 2, 3):
            calls("Lease.LeaseGrant", ID=lease, TTL=100)
        calls("Lock.Lock", name=b"a", lease=1)
        second = Waiting(calls.client, "Lock.Lock", name=b"a", lease=2)
        standing(calls.client, b"a/", 2)
        third = Waiting(calls.client, "Lock.Lock", name=b"a", lease=3)
        standing(calls.client, b"a/", 3)
        calls.put("other", "1")
        # The one in the middle gives up, and its key goes; the last one waits on.
        second.cancel()
        standing(calls.client, b"a/", 2)
        assert not third.is_done
        calls("Lock.Unlock", key=b"a/1")
        calls.note("third", third.answer())
        calls.everything()

    pair.compare_calls(script)


@pytest.mark.ours_only
@pytest.mark.parametrize("how", ("deleted", "revoked"))
def test_a_lock_whose_key_is_lost_is_not_had(member_with, client_of, how):
    """As since etcd 3.5; 3.4 tells its client that it has the lock."""
    client = client_of(member_with().start())
    grant(client, 1, 2)
    good(client.call("Lock.Lock", name=b"a", lease=1))
    waiting = Waiting(client, "Lock.Lock", name=b"a", lease=2)
    standing(client, b"a/", 2)
    if how == "deleted":
        good(client.call("KV.DeleteRange", key=b"a/2"))
    else:
        good(client.call("Lease.LeaseRevoke", ID=2))
    good(client.call("Lock.Unlock", key=b"a/1"))
    assert waiting.answer() == EXPIRED


@pytest.mark.ours_only
def test_compaction_does_not_lose_a_waiter(member_with, client_of):
    client = client_of(member_with().start())
    grant(client, 1, 2)
    good(client.call("Lock.Lock", name=b"a", lease=1))
    waiting = Waiting(client, "Lock.Lock", name=b"a", lease=2)
    standing(client, b"a/", 2)
    for number in range(20):
        revision = good(client.call("KV.Put", key=b"k", value=b"%d" % number)).header.revision
    good(client.call("KV.Compact", revision=revision, physical=True))
    good(client.call("Lock.Unlock", key=b"a/1"))
    assert good(waiting.answer()).key == b"a/2"


def test_election_answers(pair):
    def script(calls: Calls) -> None:
        calls("Election.Leader", name=b"e")
        calls("Election.Campaign", name=b"e", lease=99, value=b"v")
        for lease in (7, -8):
            calls("Lease.LeaseGrant", ID=lease, TTL=100)
        leader = calls("Election.Campaign", name=b"e", lease=7, value=b"one").leader
        calls("Election.Campaign", name=b"e", lease=7, value=b"one")
        # A leader that campaigns again says another value.
        calls("Election.Campaign", name=b"e", lease=7, value=b"two")
        calls("Election.Leader", name=b"e")
        calls("Election.Proclaim", leader=leader, value=b"three")
        calls("Election.Leader", name=b"e")
        calls("Election.Proclaim", value=b"x")
        calls("Election.Resign")
        other = type(leader)(name=b"e", key=b"e/7", rev=leader.rev + 1, lease=7)
        calls("Election.Proclaim", leader=other, value=b"x")
        calls("Election.Resign", leader=other)
        calls("Election.Leader", name=b"e")
        calls("Election.Proclaim", leader=type(leader)(name=b"e", key=b"", lease=7), value=b"x")
        calls("Election.Resign", leader=type(leader)(name=b"e", lease=7))
        calls("Election.Proclaim", leader=type(leader)(name=b"e", key=b"e/new", rev=0, lease=7), value=b"x")
        calls("Election.Proclaim", leader=type(leader)(name=b"e", key=b"e/new", rev=0, lease=55), value=b"x")
        calls("Election.Resign", leader=leader)
        calls("Election.Resign", leader=leader)
        calls("Election.Proclaim", leader=leader, value=b"x")
        calls("Election.Campaign", name=b"f", lease=-8)
        calls.everything()

    pair.compare_calls(script)


def test_waiting_for_an_office(pair):
    def script(calls: Calls) -> None:
        for lease in (1, 2, 3):
            calls("Lease.LeaseGrant", ID=lease, TTL=100)
        first = calls("Election.Campaign", name=b"e", lease=1, value=b"one").leader
        second = Waiting(calls.client, "Election.Campaign", name=b"e", lease=2, value=b"two")
        standing(calls.client, b"e/", 2)
        third = Waiting(calls.client, "Election.Campaign", name=b"e", lease=3, value=b"three")
        standing(calls.client, b"e/", 3)
        calls("Election.Leader", name=b"e")
        # Who waits may say another value meanwhile.
        again = Waiting(calls.client, "Election.Campaign", name=b"e", lease=2, value=b"2")
        wait_until(lambda: calls.quiet("KV.Range", key=b"e/2").kvs[0].value == b"2", "the new value")
        third.cancel()
        standing(calls.client, b"e/", 2)
        calls("Election.Resign", leader=first)
        calls.note("second", second.answer())
        calls.note("again", again.answer())
        calls("Election.Leader", name=b"e")
        calls("Lease.LeaseRevoke", ID=2)
        calls("Election.Leader", name=b"e")

    pair.compare_calls(script)


def test_candidates_that_lose_their_place(pair):
    """One who waits may proclaim, resigns, or loses its lease; those behind, and the office, go on."""

    def script(calls: Calls) -> None:
        for lease in (1, 2, 3, 4):
            calls("Lease.LeaseGrant", ID=lease, TTL=100)
        first = calls("Election.Campaign", name=b"e", lease=1, value=b"one").leader
        waiting = {}
        for count, lease in enumerate((2, 3, 4), start=2):
            waiting[lease] = Waiting(calls.client, "Election.Campaign", name=b"e", lease=lease, value=b"%d" % lease)
            standing(calls.client, b"e/", count)
        own = calls.quiet("KV.Range", key=b"e/2").kvs[0]
        second = type(first)(name=b"e", key=b"e/2", rev=own.create_revision, lease=2)
        calls("Election.Proclaim", leader=second, value=b"two")
        # The lease of another is no proof.
        calls("Election.Proclaim", leader=type(first)(name=b"e", key=b"e/2", rev=own.create_revision, lease=99), value=b"x")
        calls("Election.Leader", name=b"e")
        calls("Election.Resign", leader=second)
        calls("Lease.LeaseRevoke", ID=3)
        standing(calls.client, b"e/", 2)
        calls("Election.Proclaim", leader=second, value=b"late")
        calls("Election.Leader", name=b"e")
        calls("Election.Resign", leader=first)
        for lease in (2, 3, 4):
            calls.note(f"{lease}", waiting[lease].answer())
        calls("Election.Leader", name=b"e")
        calls.everything()

    pair.compare_calls(script)


def test_an_office_whose_holder_dies(pair):
    """The lease runs out by itself while another waits, and those who observe hear of the next."""

    def script(calls: Calls) -> None:
        calls("Lease.LeaseGrant", ID=1, TTL=2)
        calls("Lease.LeaseGrant", ID=2, TTL=100)
        calls("Election.Campaign", name=b"e", lease=1, value=b"one")
        observation = Observation(calls.client, b"e")
        observation.wait(1)
        calls.note("next", Waiting(calls.client, "Election.Campaign", name=b"e", lease=2, value=b"two").answer())
        for number, told in enumerate(observation.wait(2)):
            calls.note(f"told {number}", told)
        observation.close()
        calls.everything()

    pair.compare_calls(script)


def test_observing(pair):
    def script(calls: Calls) -> None:
        for lease in (1, 2):
            calls("Lease.LeaseGrant", ID=lease, TTL=100)
        early = Observation(calls.client, b"o")
        first = calls("Election.Campaign", name=b"o", lease=1, value=b"1").leader
        early.wait(1)
        calls("Election.Proclaim", leader=first, value=b"2")
        early.wait(2)
        # Nothing of this is about the office.
        calls.put("o", "x")
        calls.put("other", "x")
        late = Observation(calls.client, b"o")
        late.wait(1)
        second = Waiting(calls.client, "Election.Campaign", name=b"o", lease=2, value=b"3")
        standing(calls.client, b"o/", 2)
        calls("Election.Resign", leader=first)
        calls.note("second", second.answer())
        early.wait(3)
        late.wait(2)
        calls("Lease.LeaseRevoke", ID=2)
        calls("Lease.LeaseGrant", ID=3, TTL=100)
        calls("Election.Campaign", name=b"o", lease=3, value=b"4")
        for name, observation in (("early", early.wait(4)), ("late", late.wait(3))):
            for number, told in enumerate(observation):
                calls.note(f"{name} {number}", told)
        early.close()
        late.close()

    pair.compare_calls(script)


def test_requests_that_do_not_decode(pair):
    for member in (pair.genuine, pair.ours):
        client = Client(member.endpoint)
        for path in ("Lock/Lock", "Lock/Unlock"):
            assert client.raw(f"/v3lockpb.{path}", b"\xff").code == "INTERNAL"
        for path in ("Campaign", "Proclaim", "Leader", "Observe", "Resign"):
            assert client.raw(f"/v3electionpb.Election/{path}", b"\xff").code == "INTERNAL"
        assert client.raw("/v3lockpb.Lock/Nothing").details == "unknown method Nothing for service v3lockpb.Lock"
        client.close()


def test_users_lock_what_they_may_write(pair):
    """The services do for a user what the user may do, and no more; they say so as etcd's do, without a code."""

    def script(calls: Calls) -> None:
        for name in ("root", "ann"):
            calls.quiet("Auth.UserAdd", name=name, password=name)
            calls.quiet("Auth.RoleAdd", name=name)
            calls.quiet("Auth.UserGrantRole", user=name, role=name)
        calls.quiet("Auth.RoleGrantPermission", name="ann", perm={"permType": "READWRITE", "key": b"mine/", "range_end": b"mine0"})
        for lease in (1, 2):
            calls.quiet("Lease.LeaseGrant", ID=lease, TTL=100)
        good(calls.quiet("Auth.AuthEnable"))
        token = good(calls.quiet("Auth.Authenticate", name="ann", password="ann")).token

        def start(what: str, metadata: Any, **fields: Any) -> Any:
            return calls.client.method(what).future(request(what, **fields), timeout=20.0, metadata=metadata)

        def call(what: str, metadata: Any = (("token", token),), **fields: Any) -> Any:
            try:
                return calls.note(f"{what} {fields}", start(what, metadata, **fields).result())
            except grpc.RpcError as error:
                return calls.note(f"{what} {fields}", Failure(error.code().name, error.details()))

        call("Lock.Lock", name=b"mine", lease=1)
        call("Lock.Lock", name=b"other", lease=1)
        call("Lock.Lock", metadata=(), name=b"mine", lease=1)
        call("Lock.Lock", metadata=(("token", "nobody.1"),), name=b"mine", lease=1)
        call("Lock.Unlock", key=b"other/1")
        call("Election.Campaign", name=b"other", lease=1)
        call("Election.Leader", name=b"other")
        waiting = start("Lock.Lock", (("token", token),), name=b"mine", lease=2)
        wait_until(lambda: len(start("KV.Range", (("token", token),), key=b"mine/", range_end=b"mine0").result().kvs) == 2, "two in the line")
        call("Lock.Unlock", key=b"mine/1")
        calls.note("waiting", waiting.result())

    pair.compare_calls(script)


# ---- Many at once, and with etcd's clients


def test_fifty_wait_for_one_lock(pair):
    """Nobody has it together with another, and it goes on in the order in which they came."""
    for member in (pair.genuine, pair.ours):
        client = Client(member.endpoint)
        order: list[int] = []
        holders: list[int] = []

        def hold(lease: int) -> None:
            lock = good(client.call("Lock.Lock", name=b"many", lease=lease, timeout=60.0))
            holders.append(lease)
            assert holders == [lease], "two hold the lock"
            order.append((lease, good(client.call("KV.Range", key=lock.key)).kvs[0].create_revision))
            holders.remove(lease)
            good(client.call("Lock.Unlock", key=lock.key))

        grant(client, *range(1, 51))
        with ThreadPoolExecutor(50) as pool:
            for outcome in [pool.submit(hold, lease) for lease in range(1, 51)]:
                outcome.result()
        assert sorted(lease for lease, _ in order) == list(range(1, 51))
        revisions = [revision for _, revision in order]
        assert revisions == sorted(revisions), "the order is not that of the keys"
        assert keys(client, b"many/") == []
        client.close()


@pytest.mark.ours_only
def test_a_holder_that_dies(member_with, client_of):
    """The lock is free when the lease has run out."""
    client = client_of(member_with().start())
    grant(client, 1, ttl=2)
    grant(client, 2)
    good(client.call("Lock.Lock", name=b"a", lease=1))
    assert good(client.call("Lock.Lock", name=b"a", lease=2)).key == b"a/2"
    assert keys(client, b"a/") == [b"a/2"]


@pytest.mark.ours_only
def test_a_client_that_goes_leaves_the_line(member_with, client_of):
    member = member_with().start()
    client = client_of(member)
    grant(client, 1, 2, 3)
    good(client.call("Lock.Lock", name=b"a", lease=1))
    good(client.call("Election.Campaign", name=b"a", lease=1))
    leaving = Client(member.endpoint)
    waiting = Waiting(leaving, "Lock.Lock", name=b"a", lease=2)
    standing(client, b"a/", 2)
    assert not waiting.is_done
    leaving.close()
    standing(client, b"a/", 1)


def test_one_line_for_etcdctl_and_the_service(pair):
    def script(calls: Calls) -> None:
        session = Session(calls.member)
        calls("Lease.LeaseGrant", ID=1, TTL=100)
        holder = session.start("lock", "mutex").wait_lines(1)
        waiting = Waiting(calls.client, "Lock.Lock", name=b"mutex", lease=1)
        standing(calls.client, b"mutex/", 2)
        assert not waiting.is_done
        holder.stop()
        assert good(waiting.answer()).key == b"mutex/1"
        behind = session.start("lock", "mutex", "echo", "mine")
        standing(calls.client, b"mutex/", 2)
        calls("Lock.Unlock", key=b"mutex/1")
        behind.wait_lines(1)
        calls.note("etcdctl", "\n".join(behind.lines))
        candidate = session.start("elect", "office", "ann").wait_lines(2)
        found = good(calls.quiet("Election.Leader", name=b"office")).kv
        assert (found.key.decode(), found.value) == (candidate.lines[0], b"ann")
        campaign = Waiting(calls.client, "Election.Campaign", name=b"office", lease=1, value=b"bob")
        standing(calls.client, b"office/", 2)
        candidate.stop()
        assert good(campaign.answer()).leader.key == b"office/1"
        session.close()

    pair.compare_calls(script)


def locked(client: Client) -> Any:
    answer = client.call("Lock.Lock", name=b"a", lease=2)
    return None if isinstance(answer, Failure) else answer


@pytest.mark.ours_only
@pytest.mark.parametrize("kinds", ((OURS, OURS, OURS), (GO, OURS, GO)))
def test_a_line_over_all_members(cluster_with, kinds):
    """Who waits at one member hears of a key that goes at another, also when the leader is lost meanwhile."""
    cluster = cluster_with(*kinds)
    leader = cluster.leader()
    ours = [member for member in cluster.members if member.kind == OURS and member is not leader]
    waiter = ours[0] if ours else cluster.of_kind(OURS)[0]
    other = next(member for member in cluster.members if member not in (leader, waiter))
    for lease in (1, 2):
        other.ask("Lease.LeaseGrant", ID=lease, TTL=100)
    other.ask("Lock.Lock", name=b"a", lease=1)
    waiting = Waiting(waiter.client, "Lock.Lock", name=b"a", lease=2)
    wait_until(lambda: len(keys(other.client, b"a/")) == 2, "two in the line")
    if leader is not waiter:
        leader.kill()
        cluster.leader()
    wait_until(lambda: not isinstance(other.call("Lock.Unlock", key=b"a/1"), Failure), "the lock to be given up")
    answer = waiting.answer()
    if isinstance(answer, Failure):
        # The last look at the store may meet one more change of leader on a busy machine; the place in the line stays.
        assert "leader changed" in answer.details, answer
        answer = wait_until(lambda: locked(waiter.client), "the lock")
    assert answer.key == b"a/2"
