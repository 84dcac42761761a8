"""What etcd's advisories of 2026 are about, one test each, and which calls need what since then.

Genuine etcd 3.4.23 lets most of this through, so these tests look at the server under test alone.
"""

import pytest

from harness.api import Failure
from harness.auth import READ, READWRITE, WRITE, UserCalls, permission, set_up

pytestmark = pytest.mark.ours_only

DENIED = Failure("PERMISSION_DENIED", "etcdserver: permission denied")
NOBODY = Failure("INVALID_ARGUMENT", "etcdserver: user name is empty")
UNKNOWN = Failure("UNAUTHENTICATED", "etcdserver: invalid auth token")

get = lambda key, end=b"": {"request_range": {"key": key, "range_end": end}}
put = lambda key, **fields: {"request_put": {"key": key, "value": b"x", **fields}}
delete = lambda key, **fields: {"request_delete_range": {"key": key, **fields}}
txn = lambda *success, **fields: {"request_txn": {"success": success, **fields}}


@pytest.fixture
def calls(member_with):
    """Users of a member: bob reads and writes b, ann writes b and reads nothing, and root has a secret."""
    member = member_with(None, "--bcrypt-cost", "4").start()
    calls = UserCalls(member)
    set_up(calls, ("bob", [(READWRITE, "b")]), ("ann", [(WRITE, "b")]))
    calls("root", "KV.Put", key=b"secret", value=b"s")
    calls("root", "KV.Put", key=b"b", value=b"old")
    yield calls
    calls.close()


# Who may call what: nobody, a user without the root role, one that has it.
OPEN, LOGIN, ROOT = (True, True, True), (False, True, True), (False, False, True)
NEEDS = [
    ("Cluster.MemberList", {}, LOGIN),
    ("Cluster.MemberAdd", {"peerURLs": ["bad"]}, ROOT),
    ("Cluster.MemberRemove", {"ID": 5}, ROOT),
    ("Cluster.MemberUpdate", {"ID": 5, "peerURLs": ["http://127.0.0.1:1"]}, ROOT),
    ("Cluster.MemberPromote", {"ID": 5}, ROOT),
    ("Maintenance.Status", {}, LOGIN),
    ("Maintenance.Alarm", {"action": "GET"}, LOGIN),
    ("Maintenance.Alarm", {"action": "ACTIVATE", "memberID": 5, "alarm": "NOSPACE"}, ROOT),
    ("Maintenance.Alarm", {"action": "DEACTIVATE", "memberID": 5, "alarm": "NOSPACE"}, ROOT),
    ("Maintenance.Defragment", {}, ROOT),
    ("Maintenance.Hash", {}, ROOT),
    ("Maintenance.HashKV", {}, ROOT),
    ("Maintenance.Snapshot", {}, ROOT),
    ("Maintenance.MoveLeader", {"targetID": 5}, ROOT),
    ("Maintenance.Downgrade", {"action": "VALIDATE", "version": "3.6"}, ROOT),
    ("KV.Compact", {"revision": 1}, ROOT),
    ("Lease.LeaseGrant", {"TTL": 600}, LOGIN),
    ("Lease.LeaseRevoke", {"ID": 5}, LOGIN),
    ("Lease.LeaseTimeToLive", {"ID": 5}, LOGIN),
    ("Lease.LeaseTimeToLive", {"ID": 5, "keys": True}, LOGIN),
    ("Lease.LeaseLeases", {}, LOGIN),
    ("Auth.AuthStatus", {}, ROOT),
    ("Auth.AuthEnable", {}, ROOT),
    ("Auth.UserList", {}, ROOT),
    ("Auth.UserAdd", {"name": "eve", "password": "x"}, ROOT),
    ("Auth.UserDelete", {"name": "eve"}, ROOT),
    ("Auth.UserGet", {"name": "root"}, ROOT),
    ("Auth.UserGrantRole", {"user": "bob", "role": "none"}, ROOT),
    ("Auth.UserRevokeRole", {"name": "bob", "role": "root"}, ROOT),
    ("Auth.UserChangePassword", {"name": "none", "password": "x"}, ROOT),
    ("Auth.RoleAdd", {"name": "r"}, ROOT),
    ("Auth.RoleGet", {"role": "r"}, ROOT),
    ("Auth.RoleList", {}, ROOT),
    ("Auth.RoleDelete", {"role": "r"}, ROOT),
    ("Auth.RoleRevokePermission", {"role": "role-bob", "key": b"zzz"}, ROOT),
    ("Auth.AuthDisable", {}, ROOT),
]


def test_which_calls_need_what(calls):
    """CVE-2026-33413: calls that anyone could make although auth was enabled."""
    calls.use("stale", "x.1")
    for name, fields, (anyone, login, root) in NEEDS:
        for user, allowed, refusal in ((None, anyone, NOBODY), ("stale", anyone, UNKNOWN), ("bob", login, DENIED), ("root", root, None)):
            answer = calls.quiet(user, name, **fields)
            refused = answer in (NOBODY, UNKNOWN, DENIED)
            assert refused != allowed, f"{name} by {user}: {answer}"
            if refused:
                assert answer == refusal, f"{name} by {user}: {answer}"


def test_paths_without_a_slash_lead_nowhere(calls):
    """CVE-2026-33186, of the library that genuine etcd speaks gRPC with: a path that lacks its first slash was carried out
    and not guarded."""
    from harness.api import Client

    client = Client(calls.member.endpoint)
    request = b"\x0a\x01b"
    assert client.raw("/etcdserverpb.KV/Range", request) == NOBODY
    for path in ("etcdserverpb.KV/Range", "//etcdserverpb.KV/Range", "/etcdserverpb.KV//Range", "/etcdserverpb.KV/Range/"):
        answer = client.raw(path, request)
        assert isinstance(answer, Failure) and answer != NOBODY, f"{path}: {answer}"
        assert answer.code in ("UNIMPLEMENTED", "INTERNAL", "UNKNOWN", "UNAVAILABLE"), f"{path}: {answer}"
    client.close()


def test_the_role_root_is_told_with_all_permissions(calls):
    calls("root", "Auth.RoleAdd", name="root")
    answer = calls("root", "Auth.RoleGet", role="root")
    assert list(answer.perm) == [permission(READWRITE, b"", b"\0")]


def test_nested_transactions(calls):
    """CVE-2026-33343: what a nested transaction does is checked as if it stood outside."""
    for operation in (get(b"secret"), get(b"\0", b"\0"), put(b"secret"), delete(b"secret")):
        for depth in (txn(operation), txn(txn(operation)), txn(put(b"b"), txn(operation))):
            assert calls("bob", "KV.Txn", success=[depth]) == DENIED
            assert calls("bob", "KV.Txn", failure=[depth]) == DENIED
        assert calls("bob", "KV.Txn", success=[{"request_txn": {"failure": [operation]}}]) == DENIED
    compare = {"key": b"secret", "target": "VALUE", "value": b"s"}
    assert calls("bob", "KV.Txn", success=[{"request_txn": {"compare": [compare], "success": [put(b"b")]}}]) == DENIED
    assert calls("bob", "KV.Txn", success=[txn(get(b"b"))]).succeeded
    assert calls("bob", "KV.Txn", success=[txn(put(b"b"))]).succeeded
    assert calls("root", "KV.Range", key=b"secret").kvs[0].value == b"s"


def test_previous_values_in_transactions(calls):
    """CVE-2026-44283, first part: a put inside a transaction that returns what was there takes the permission to read it."""
    assert calls("ann", "KV.Put", key=b"b", prev_kv=True) == DENIED
    assert calls("ann", "KV.Txn", success=[put(b"b", prev_kv=True)]) == DENIED
    assert calls("ann", "KV.Txn", success=[txn(put(b"b", prev_kv=True))]) == DENIED
    assert calls("ann", "KV.Txn", success=[delete(b"b", prev_kv=True)]) == DENIED
    assert calls("ann", "KV.Txn", success=[put(b"b")]).succeeded
    assert calls("bob", "KV.Txn", success=[put(b"b", prev_kv=True)]).succeeded


def test_leases_in_transactions(calls):
    """CVE-2026-44283, second part: a key is not attached to a lease on which others hang that one may not write."""
    calls("root", "Lease.LeaseGrant", ID=1, TTL=600)
    calls("root", "KV.Put", key=b"secret", value=b"s", lease=1)
    assert calls("bob", "KV.Put", key=b"b", lease=1) == DENIED
    assert calls("bob", "KV.Txn", success=[put(b"b", lease=1)]) == DENIED
    assert calls("bob", "KV.Txn", failure=[txn(put(b"b", lease=1))]) == DENIED
    assert calls("root", "KV.Range", key=b"b").kvs[0].lease == 0
    calls("root", "Lease.LeaseGrant", ID=2, TTL=600)
    assert calls("bob", "KV.Txn", success=[put(b"b", lease=2)]).succeeded


def test_keys_of_leases(calls):
    """What hangs on a lease is told to those alone who may read it, and who may not write it does not renew it."""
    calls("root", "Lease.LeaseGrant", ID=1, TTL=600)
    calls("root", "KV.Put", key=b"secret", value=b"s", lease=1)
    assert calls("bob", "Lease.LeaseTimeToLive", ID=1, keys=True) == DENIED
    assert calls("bob", "Lease.LeaseTimeToLive", ID=1).TTL > 0
    assert calls("bob", "Lease.LeaseLeases") == DENIED
    assert calls("bob", "Lease.LeaseRevoke", ID=1) == DENIED
    assert list(calls("root", "Lease.LeaseTimeToLive", ID=1, keys=True).keys) == [b"secret"]
    for user, expected in (("bob", DENIED), (None, NOBODY)):
        stream = calls.client(user).stream("Lease.LeaseKeepAlive")
        stream.send(ID=1)
        assert stream.next() == expected
    stream = calls.client("root").stream("Lease.LeaseKeepAlive")
    stream.send(ID=1)
    assert stream.next().TTL == 600
    stream.close()


@pytest.mark.parametrize("key, end", [(b"b", b"\0"), (b"b", b"c"), (b"", b"\0"), (b"\0", b"\0"), (b"a", b""), (b"", b"")])
def test_watches_wider_than_the_grant(calls, key, end):
    """GHSA-xg4h-6gfc-h4m8: a permission for one key is none to watch from it on."""
    watch = calls.watch("bob")
    refused = watch.created(key=key, range_end=end)
    assert (refused.created, refused.canceled, refused.watch_id) == (True, True, -1)
    assert refused.cancel_reason == "rpc error: code = PermissionDenied desc = etcdserver: permission denied"
    # The stream goes on, and what it may see it sees.
    assert not watch.created(key=b"b").canceled
    calls("root", "KV.Put", key=b"secret", value=b"t")
    calls("root", "KV.Put", key=b"b", value=b"new")
    assert [event.kv.key for event in watch.events(1)] == [b"b"]


def test_watches_of_nobody(calls):
    for user, reason in ((None, "InvalidArgument desc = etcdserver: user name is empty"), ("x", "Unauthenticated desc = etcdserver: invalid auth token")):
        calls.use("x", "x.1")
        refused = calls.watch(user).created(key=b"b")
        assert refused.canceled and refused.cancel_reason == f"rpc error: code = {reason}"


def test_streamed_ranges(calls):
    assert calls("bob", "KV.RangeStream", key=b"b", range_end=b"\0") == DENIED
    assert calls(None, "KV.RangeStream", key=b"b") == NOBODY
    assert not isinstance(calls("bob", "KV.RangeStream", key=b"b"), Failure)


def test_alarms_do_not_switch_checks_off(calls):
    """etcd #22386: with the database full, permissions were not checked any more."""
    calls("root", "Maintenance.Alarm", action="ACTIVATE", memberID=5, alarm="NOSPACE")
    for name, fields in (
        ("KV.DeleteRange", {"key": b"secret"}), ("Auth.AuthDisable", {}), ("Auth.UserDelete", {"name": "ann"}),
        ("KV.Txn", {"success": [delete(b"secret")]}),
    ):
        assert calls("bob", name, **fields) == DENIED


def test_ranges_without_keys_are_not_granted(calls):
    refused = Failure("INVALID_ARGUMENT", "etcdserver: invalid auth management")
    for key, end in ((b"b", b"a"), (b"b", b"b"), (b"", b""), (b"", b"\0"), (b"", b"a")):
        assert calls("root", "Auth.RoleGrantPermission", name="role-bob", perm=permission(READ, key, end)) == refused
    given = Failure("INVALID_ARGUMENT", "etcdserver: permission not given")
    assert calls("root", "Auth.RoleGrantPermission", name="role-bob") == given


def test_long_passwords_are_refused(calls):
    """bcrypt looks at 72 bytes; what is longer would promise more than it keeps."""
    answer = calls("root", "Auth.UserAdd", name="eve", password="x" * 73)
    assert answer == Failure("UNKNOWN", "bcrypt: password length exceeds 72 bytes")
    assert not isinstance(calls("root", "Auth.UserAdd", name="eve", password="x" * 72), Failure)


def test_hashes_from_outside_are_not_taken(calls):
    """A hash that a client brings could be one of a password that is easy to find."""
    import base64

    easy = base64.b64encode(b"$2a$04$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe").decode()
    calls("root", "Auth.UserAdd", name="eve", password="e", hashedPassword=easy)
    calls("root", "Auth.UserChangePassword", name="bob", password="b", hashedPassword=easy)
    calls.log_in("eve", "e")
    calls.log_in("bob", "b")
    assert calls.transcript[-2:] == ["log in eve", "log in bob"]


def test_status_of_auth(calls):
    answer = calls("root", "Auth.AuthStatus")
    assert answer.enabled and answer.authRevision > 1
    calls("root", "Auth.RoleAdd", name="one-more")
    assert calls("root", "Auth.AuthStatus").authRevision == answer.authRevision + 1


