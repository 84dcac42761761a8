"""Auth with several members: three of ours, and ours mixed with genuine etcd 3.4, and data directories that travel."""

import os
import signal

import pytest

from harness.api import Client, Failure, api
from harness.auth import READ, READWRITE, User, UserCalls, log_in, permission, set_up
from harness.cluster import GO, OURS, Cluster, ClusterMember
from harness.waiting import halt, wait_until
from test_data_directories import GENUINE, OURS as OUR_BINARY, Journey

DENIED = Failure("PERMISSION_DENIED", "etcdserver: permission denied")
COMPOSITIONS = {
    "three ours": (OURS, OURS, OURS),
    "Go leads two ours": (GO, OURS, OURS),
    "ours leads two Go": (OURS, GO, GO),
}


@pytest.fixture(params=COMPOSITIONS)
def cluster(request, cluster_with) -> Cluster:
    cluster = cluster_with(*COMPOSITIONS[request.param], **{"bcrypt-cost": 4})
    cluster.move_leader(cluster.members[0])
    return cluster


def user(member: ClusterMember, name: str, password: str) -> User:
    token = log_in(member.endpoint, name, password)
    assert not isinstance(token, Failure), f"{member}: {name}: {token}"
    return User(member.endpoint, token)


def ask(client: User, name: str, /, **fields):
    answer = client.call(name, **fields)
    assert not isinstance(answer, Failure), f"{name}: {answer}"
    return answer


def assert_equal_members(cluster: Cluster) -> None:
    """All members hold the same keys, let the same users in, and know the same of them."""
    roots = [user(member, "root", "root") for member in cluster.members]
    revision = ask(roots[0], "KV.Range", key=b"x").header.revision
    for root in roots:
        wait_until(lambda: ask(root, "KV.Range", key=b"x", serializable=True).header.revision >= revision, "all to be there")
    hashes = {ask(root, "Maintenance.HashKV", revision=revision).hash for root in roots}
    assert len(hashes) == 1, f"the members' keys differ: {hashes}"
    known = []
    for root in roots:
        users = list(ask(root, "Auth.UserList").users)
        roles = list(ask(root, "Auth.RoleList").roles)
        known.append((
            users, roles, [list(ask(root, "Auth.UserGet", name=name).roles) for name in users],
            [str(ask(root, "Auth.RoleGet", role=role).perm) for role in roles],
        ))
        root.close()
    assert known.count(known[0]) == len(known), known


def test_users_of_one_member_are_users_of_all(cluster):
    """What is changed through one member counts at each other one at once: logins, tokens, passwords, permissions."""
    members = cluster.members
    calls = UserCalls(members[0])
    set_up(calls)
    for number, writer in enumerate(members):
        root = user(writer, "root", "root")
        name = f"user{number}"
        ask(root, "Auth.UserAdd", name=name, password=f"first {number}")
        ask(root, "Auth.RoleAdd", name=name)
        ask(root, "Auth.RoleGrantPermission", name=name, perm=permission(READWRITE, f"{name}/", f"{name}0"))
        ask(root, "Auth.UserGrantRole", user=name, role=name)
        for reader in members:
            token = log_in(reader.endpoint, name, f"first {number}")
            assert not isinstance(token, Failure), f"{name} made through {writer} logs in through {reader}: {token}"
            # The token of one member is one of all, as soon as it is given out.
            for other in members:
                client = User(other.endpoint, token)
                ask(client, "KV.Put", key=f"{name}/{other.name}".encode(), value=b"1")
                ask(client, "KV.Range", key=f"{name}/".encode(), range_end=f"{name}0".encode())
                assert client.call("KV.Put", key=b"elsewhere") == DENIED
                assert client.call("KV.Range", key=b"elsewhere") == DENIED
                watch = client.watch()
                assert not watch.created(key=f"{name}/".encode(), range_end=f"{name}0".encode()).canceled
                assert watch.created(key=b"elsewhere").canceled
                watch.close()
                client.close()
        ask(root, "Auth.UserChangePassword", name=name, password=f"second {number}")
        for reader in members:
            assert log_in(reader.endpoint, name, f"first {number}").code == "INVALID_ARGUMENT"
            user(reader, name, f"second {number}").close()
        ask(root, "Auth.RoleRevokePermission", role=name, key=f"{name}/".encode(), range_end=f"{name}0".encode())
        for reader in members:
            client = user(reader, name, f"second {number}")
            assert client.call("KV.Put", key=f"{name}/x".encode()) == DENIED, f"revoked through {writer}, put through {reader}"
            client.close()
        root.close()
    assert_equal_members(cluster)
    calls.close()


@pytest.mark.ours_only
def test_made_up_tokens_keep_no_login_from_being_known(cluster_with):
    """Whoever logs in with one member and comes to another that is late is waited for there. Made-up tokens, of whatever
    entry, are refused as soon as this member has what was committed, and take nobody's place."""
    cluster = cluster_with(OURS, OURS, OURS, **{"bcrypt-cost": 4})
    prompt, late, _ = cluster.members
    cluster.move_leader(prompt)
    calls = UserCalls(prompt)
    set_up(calls, ("bob", [(READWRITE, "b", "d")]))
    client = Client(late.endpoint)
    wait_until(lambda: client.call("KV.Range", key=b"b").details == "etcdserver: user name is empty", "the connection")
    put, range_ = client.method("KV.Put"), client.method("KV.Range")
    halt(late.process.pid)
    try:
        made_up = [
            range_.future(api().messages.RangeRequest(key=b"b"), timeout=100, metadata=[("token", f"{'madeUp' * 2}toke.{index}")])
            for index in [*range(1, 1000), *range(100_000, 100_500), 2**64 - 1]
        ]
        token = log_in(prompt.endpoint, "bob", "bob")
        answer = put.future(api().messages.PutRequest(key=b"b", value=b"1"), timeout=100, metadata=[("token", token)])
    finally:
        os.kill(late.process.pid, signal.SIGCONT)
    assert answer.exception() is None, answer.exception()
    assert {(call.code().name, call.details()) for call in made_up} == {("UNAUTHENTICATED", "etcdserver: invalid auth token")}
    # A stream waits alike.
    for stranger, canceled in (("madeUpmadeUptoke.999999", True), (token, False)):
        user = User(late.endpoint, stranger)
        watch = user.watch()
        assert watch.created(key=b"b").canceled == canceled
        watch.close()
        user.close()
    client.close()
    calls.close()


@pytest.mark.ours_only
def test_a_late_member_tells_no_key_of_a_lease_that_its_asker_may_not_read(cluster_with):
    """The leader, which such a member asks, knows of a key that has just been attached; the member does not yet."""
    cluster = cluster_with(OURS, OURS, OURS, **{"bcrypt-cost": 4})
    prompt, late, _ = cluster.members
    cluster.move_leader(prompt)
    calls = UserCalls(prompt)
    set_up(calls, ("bob", [(READWRITE, "b", "d")]))
    client = Client(late.endpoint)
    token = [("token", log_in(late.endpoint, "bob", "bob"))]
    question = client.method("Lease.LeaseTimeToLive")
    for lease in range(1, 6):
        calls("root", "Lease.LeaseGrant", ID=lease, TTL=600)
        calls("root", "KV.Put", key=b"b", lease=lease)
        request = api().messages.LeaseTimeToLiveRequest(ID=lease, keys=True)
        wait_until(lambda: list(question(request, metadata=token, timeout=30).keys) == [b"b"], "the lease to be known")
        halt(late.process.pid)
        try:
            answer = question.future(request, timeout=100, metadata=token)
            calls("root", "KV.Put", key=b"secret", lease=lease)
        finally:
            os.kill(late.process.pid, signal.SIGCONT)
        assert answer.code().name == "PERMISSION_DENIED", answer
        calls("root", "Lease.LeaseRevoke", ID=lease)
    client.close()
    calls.close()


def test_leases_run_out_and_requests_are_applied_alike(cluster):
    """The leader ends leases as root; and whatever comes through whichever member, all apply it or none does."""
    members = cluster.members
    calls = UserCalls(members[0])
    set_up(calls, ("bob", [(READWRITE, "b", "d")]))
    for member in members:
        root, bob = user(member, "root", "root"), user(member, "bob", "bob")
        lease = ask(root, "Lease.LeaseGrant", TTL=600).ID
        ask(root, "KV.Put", key=b"secret", value=b"s", lease=lease)
        # Members of 3.4 pass over some of these; then all members apply them, or their keys would differ.
        inner = {"request_put": {"key": f"nested through {member.name}".encode()}}
        refusals = [
            bob.call("KV.Txn", success=[{"request_txn": {"success": [inner]}}]),
            bob.call("KV.Txn", success=[{"request_put": {"key": b"b", "lease": lease}}]),
            bob.call("KV.Txn", success=[{"request_put": {"key": b"b", "prev_kv": True}}]),
            bob.call("Lease.LeaseRevoke", ID=lease),
        ]
        assert refusals[3] == DENIED, f"{member}: {refusals}"
        if member.kind == OURS:
            # Through a member of genuine etcd this one makes its own kind differ: members that are not asked leave a
            # transaction's ranges out, and with them the check that refuses the rest.
            refusals.append(bob.call("KV.Txn", success=[{"request_range": {"key": b"secret"}}, {"request_put": {"key": b"b"}}]))
            assert (refusals[0], refusals[1], refusals[4]) == (DENIED, DENIED, DENIED), f"{member}: {refusals}"
        short = ask(root, "Lease.LeaseGrant", TTL=2).ID
        ask(bob, "KV.Put", key=b"c", value=b"short", lease=short)
        wait_until(lambda: ask(bob, "KV.Range", key=b"c").count == 0, f"the lease to run out, {member}", 30)
        root.close()
        bob.close()
    assert_equal_members(cluster)
    calls.close()


def test_auth_survives_the_exchange_of_all_members(cluster_with):
    """Members of genuine etcd become ours one by one while auth is enabled, and users notice nothing."""
    cluster = cluster_with(GO, GO, GO, **{"bcrypt-cost": 4})
    calls = UserCalls(cluster.members[0])
    set_up(calls, ("bob", [(READWRITE, "b", "d")]))
    for number, member in enumerate(cluster.members):
        cluster.exchange(member, OURS)
        other = cluster.members[(number + 1) % 3]
        for through in (member, other):
            bob = user(through, "bob", "bob")
            ask(bob, "KV.Put", key=b"b", value=str(number).encode())
            assert bob.call("KV.Put", key=b"x") == DENIED
            bob.close()
        root = user(member, "root", "root")
        ask(root, "Auth.UserAdd", name=f"after{number}", password="p")
        root.close()
        user(other, f"after{number}", "p").close()
    assert_equal_members(cluster)
    calls.close()


@pytest.mark.parametrize("first", ("genuine", "ours"))
def test_directories_travel_with_users(member_with, directory, first):
    """Users, hashes and permissions of one are those of the other, there and back."""
    journey = Journey(member_with, directory)
    order = [GENUINE, OUR_BINARY] if first == "genuine" else [OUR_BINARY, GENUINE]
    for hop, binary in enumerate(order * 2):
        member, client = journey.open(binary, "--bcrypt-cost", "4")
        if hop == 0:
            calls = UserCalls(member)
            set_up(calls, ("bob", [(READWRITE, "b", "d"), (READ, "x", b"\0")]), ("gone", []))
            calls("root", "Auth.UserAdd", name="cert", options={"no_password": True})
            calls("root", "KV.Put", key=b"b", value=b"0")
            calls.close()
        root, bob = user(member, "root", "root"), user(member, "bob", "bob" if hop == 0 else f"bob{hop - 1}")
        assert log_in(member.endpoint, "cert", "x").details == "auth: authentication failed, password was given for no password user"
        assert client.call("KV.Range", key=b"b").details == "etcdserver: user name is empty"
        assert ask(bob, "KV.Range", key=b"b").kvs[0].value == str(max(0, hop - 1)).encode()
        ask(bob, "KV.Put", key=b"b", value=str(hop).encode())
        assert bob.call("KV.Put", key=b"x") == DENIED
        assert list(ask(root, "Auth.UserGet", name="bob").roles) == sorted(["role-bob", *(f"more{past}" for past in range(hop))])
        ask(root, "Auth.UserChangePassword", name="bob", password=f"bob{hop}")
        ask(root, "Auth.RoleAdd", name=f"more{hop}")
        ask(root, "Auth.RoleGrantPermission", name=f"more{hop}", perm=permission(READ, f"more{hop}"))
        ask(root, "Auth.UserGrantRole", user="bob", role=f"more{hop}")
        ask(root, "Auth.UserAdd", name=f"user{hop}", password="p")
        for past in range(hop + 1):
            user(member, f"user{past}", "p").close()
        bob.close()
        journey.close(member, root, killed=False)
