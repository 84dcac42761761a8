"""Users, roles, permissions and tokens: the same calls to genuine etcd 3.4 and to the server under test.

What later versions of etcd refuse and 3.4.23 does not is in test_auth_advisories.py.
"""

import itertools
import json
import time

import pytest

from harness import settings
from harness.api import Client, Failure
from harness.auth import READ, READWRITE, WRITE, User, UserCalls, compare, log_in, permission, set_up
from harness.etcdctl import Session
from harness.pair import Pair
from harness.waiting import wait_until

# Hashing at the usual cost takes a tenth of a second each time.
CHEAP = ("--bcrypt-cost", "4")


@pytest.fixture
def pair(pair_with) -> Pair:
    return pair_with(*CHEAP)


def test_users_and_roles(pair):
    """Every call of the service with auth off: what it answers and what it refuses."""

    def script(calls: UserCalls) -> None:
        calls(None, "Auth.UserList")
        calls(None, "Auth.RoleList")
        calls(None, "Auth.AuthEnable")
        calls(None, "Auth.AuthDisable")
        calls(None, "Auth.Authenticate", name="bob", password="bob")
        for name in ("bob", "bob", "", "root", "ann", "zoe"):
            calls(None, "Auth.UserAdd", name=name, password=f"{name}'s")
        calls(None, "Auth.UserAdd", name="cert", options={"no_password": True})
        calls(None, "Auth.UserAdd", name="both", password="x", options={"no_password": True})
        calls(None, "Auth.UserAdd", name="empty")
        calls(None, "Auth.AuthEnable")
        for name in ("r1", "r2", "r1", "", "root"):
            calls(None, "Auth.RoleAdd", name=name)
        for user, role in [
            ("bob", "r2"), ("bob", "r1"), ("bob", "r1"), ("nobody", "r1"), ("bob", "none"), ("ann", "root"), ("", ""),
        ]:
            calls(None, "Auth.UserGrantRole", user=user, role=role)
        for name in ("bob", "ann", "cert", "nobody", ""):
            calls(None, "Auth.UserGet", name=name)
        calls(None, "Auth.UserRevokeRole", name="bob", role="r2")
        calls(None, "Auth.UserRevokeRole", name="bob", role="r2")
        calls(None, "Auth.UserRevokeRole", name="nobody", role="r2")
        calls(None, "Auth.UserList")
        calls(None, "Auth.RoleList")
        for granted in [
            (READ, "b", "d"), (WRITE, "b", "d"), (READ, "a"), (READWRITE, "c", b"\0"), (READ, "b", "e"), (WRITE, "b"),
        ]:
            calls(None, "Auth.RoleGrantPermission", name="r1", perm=permission(*granted))
            calls(None, "Auth.RoleGet", role="r1")
        calls(None, "Auth.RoleGrantPermission", name="none", perm=permission(READ, "a"))
        calls(None, "Auth.RoleGet", role="none")
        for key, end in [("b", "d"), ("b", "d"), ("a", "z"), ("c", b"\0")]:
            end = end if isinstance(end, bytes) else end.encode()
            calls(None, "Auth.RoleRevokePermission", role="r1", key=key.encode(), range_end=end)
        calls(None, "Auth.RoleRevokePermission", role="none", key=b"a")
        calls(None, "Auth.RoleGet", role="r1")
        for name in ("bob", "cert", "nobody"):
            calls(None, "Auth.UserChangePassword", name=name, password="new")
        calls(None, "Auth.RoleDelete", role="r1")
        calls(None, "Auth.RoleDelete", role="r1")
        calls(None, "Auth.UserGet", name="bob")
        calls(None, "Auth.UserDelete", name="zoe")
        calls(None, "Auth.UserDelete", name="zoe")
        calls(None, "Auth.UserList")

    compare(pair, script)


def test_enabling_and_disabling(pair):
    def script(calls: UserCalls) -> None:
        calls(None, "Auth.AuthEnable")
        calls(None, "Auth.UserAdd", name="root", password="root")
        calls(None, "Auth.AuthEnable")
        calls(None, "Auth.RoleAdd", name="root")
        calls(None, "Auth.UserGrantRole", user="root", role="root")
        calls(None, "Auth.UserAdd", name="bob", password="bob")
        calls(None, "Auth.UserAdd", name="cert", options={"no_password": True})
        calls(None, "Auth.Authenticate", name="root", password="root")
        calls(None, "Auth.AuthEnable")
        calls(None, "Auth.AuthEnable")
        calls(None, "KV.Range", key=b"a")
        calls(None, "KV.Put", key=b"a")
        for name, password in [("root", "wrong"), ("nobody", "x"), ("cert", ""), ("cert", "x"), ("root", ""), ("", "")]:
            calls.log_in(name, password)
        calls.log_in("root", "root")
        calls.log_in("bob", "bob")
        calls("root", "Auth.AuthEnable")
        # What would lock root out.
        calls("root", "Auth.UserDelete", name="root")
        calls("root", "Auth.UserRevokeRole", name="root", role="root")
        calls("root", "Auth.RoleDelete", role="root")
        for method in ("AuthEnable", "AuthDisable", "UserList", "RoleList"):
            calls("bob", f"Auth.{method}")
        calls("bob", "Auth.UserAdd", name="eve", password="eve")
        calls("bob", "Auth.UserGrantRole", user="bob", role="root")
        calls("bob", "Auth.RoleAdd", name="mine")
        calls("bob", "Auth.UserChangePassword", name="bob", password="new")
        calls("bob", "Auth.UserDelete", name="bob")
        # A user is told of itself and of its roles, and of nobody else.
        calls("root", "Auth.RoleAdd", name="r1")
        calls("root", "Auth.RoleAdd", name="r2")
        calls("root", "Auth.UserGrantRole", user="bob", role="r1")
        for user in ("bob", "root", None):
            for name in ("bob", "root", "nobody"):
                calls(user, "Auth.UserGet", name=name)
            for role in ("r1", "r2", "none"):
                calls(user, "Auth.RoleGet", role=role)
        calls("root", "KV.Put", key=b"a", value=b"1")
        calls("bob", "KV.Range", key=b"a")
        calls("root", "Auth.AuthDisable")
        calls(None, "KV.Range", key=b"a")
        # Tokens do not come to life again.
        calls(None, "Auth.AuthEnable")
        calls("bob", "KV.Range", key=b"a")
        calls("root", "KV.Range", key=b"a")

    compare(pair, script)


USERS = (
    ("reader", [(READ, "b", "d")]),
    ("writer", [(WRITE, "b", "d")]),
    ("both", [(READWRITE, "b", "d")]),
    ("point", [(READWRITE, "b"), (READ, "c")]),
    ("pieces", [(READ, "a", "b"), (READ, "b", "c"), (READWRITE, "c", "d"), (WRITE, "a")]),
    ("open", [(READWRITE, "c", b"\0")]),
    ("all", [(READWRITE, b"\0", b"\0")]),
    ("nothing", []),
)


def test_permission_matrix(pair):
    """Ranges, puts and deletes of users with all kinds of permissions."""

    def script(calls: UserCalls) -> None:
        set_up(calls, *USERS)
        for key in (b"a", b"b", b"bb", b"c", b"d"):
            calls("root", "KV.Put", key=key, value=key)
        users = ("root", None, *(name for name, _ in USERS))
        ends = (b"", b"\0", b"b", b"c", b"d", b"e")

        def asked(key: bytes, end: bytes) -> bool:
            # Of a range that ends before it begins etcd looks at whatever its tree of intervals happens to lead to.
            return end in (b"", b"\0") or key < end

        for user in users:
            for key, end in itertools.product((b"\0", b"a", b"b", b"bb", b"c", b"d"), ends):
                if asked(key, end):
                    calls.outcome(user, "KV.Range", key=key, range_end=end)
            for key in (b"a", b"b", b"bb", b"c", b"d"):
                calls.outcome(user, "KV.Put", key=key, value=b"x")
                calls.outcome(user, "KV.Put", key=key, value=b"x", prev_kv=True)
            for key, end in itertools.product((b"b", b"c"), ends):
                if asked(key, end):
                    calls.outcome(user, "KV.DeleteRange", key=key, range_end=end)
                    calls.outcome(user, "KV.DeleteRange", key=key, range_end=end, prev_kv=True)
            calls.outcome(user, "KV.Range", key=b"b", serializable=True)
            calls.outcome(user, "KV.Range", key=b"d", serializable=True)
        calls("root", "KV.Range", key=b"\0", range_end=b"\0")

    compare(pair, script)


def test_transactions_and_watches(pair):
    def script(calls: UserCalls) -> None:
        set_up(calls, *USERS)
        calls("root", "KV.Put", key=b"b", value=b"1")
        exists = lambda key, end=b"": {"key": key, "range_end": end, "target": "VERSION", "result": "GREATER", "version": 0}
        get = lambda key, end=b"": {"request_range": {"key": key, "range_end": end}}
        put = lambda key: {"request_put": {"key": key, "value": b"2"}}
        delete = lambda key, prev=False: {"request_delete_range": {"key": key, "prev_kv": prev}}
        for user in ("root", None, *(name for name, _ in USERS)):
            for operation in (get(b"b"), get(b"b", b"d"), get(b"a"), put(b"b"), put(b"d"), delete(b"c"), delete(b"c", True)):
                calls.outcome(user, "KV.Txn", success=[operation])
                # The branch that is not taken counts too.
                calls.outcome(user, "KV.Txn", failure=[operation])
                calls.outcome(user, "KV.Txn", compare=[exists(b"b")], success=[operation])
            calls.outcome(user, "KV.Txn", compare=[exists(b"a")])
            calls.outcome(user, "KV.Txn", compare=[exists(b"b", b"d")], success=[put(b"b")])
            watch = calls.watch(user)
            for key, end in ((b"b", b""), (b"b", b"c"), (b"b", b"d"), (b"b", b"e"), (b"a", b"")):
                answer = watch.created(key=key, range_end=end)
                calls.note(f"{user}: watch {key} {end}", (answer.created, answer.canceled, answer.cancel_reason))

    compare(pair, script)


def test_tokens(pair_with):
    """How a token may be sent, and when it stops being one."""

    def script(calls: UserCalls) -> None:
        set_up(calls, ("bob", [(READWRITE, "b", "d")]))
        token = calls.tokens["bob"]
        assert len(token.split(".")[0]) == 16 and token.split(".")[1].isdigit(), token
        calls("root", "KV.Put", key=b"b", value=b"1")
        for field in ("token", "authorization"):
            calls.use(f"bob-{field}", token, field)
            calls(f"bob-{field}", "KV.Range", key=b"b")
        for number, text in enumerate(("", "x", "x.y", "x.1", "x.1.1", token + "x", "." + token, token.upper())):
            calls.use(f"wrong-{number}", text)
            calls(f"wrong-{number}", "KV.Range", key=b"b")
            calls(f"wrong-{number}", "KV.Put", key=b"b")
            calls(f"wrong-{number}", "Auth.UserList")
        # Two logins are two tokens.
        calls.use("bob2", log_in(calls.member.endpoint, "bob", "bob"))
        calls("bob2", "KV.Range", key=b"b")
        # A grant does not end tokens; another password does, and so does the end of the user.
        calls("root", "Auth.RoleGrantPermission", name="role-bob", perm=permission(READ, "x"))
        calls("bob", "KV.Range", key=b"x")
        calls("root", "Auth.UserChangePassword", name="bob", password="new")
        calls("bob", "KV.Range", key=b"b")
        calls("bob2", "KV.Range", key=b"b")
        calls.log_in("bob", "bob")
        calls.log_in("bob", "new")
        calls("bob", "KV.Range", key=b"b")
        calls("root", "Auth.UserDelete", name="bob")
        calls("bob", "KV.Range", key=b"b")
        calls("root", "KV.Range", key=b"b")

    compare(pair_with(*CHEAP), script)


def test_tokens_end_when_they_are_not_used(pair_with):
    """With a TTL of two seconds a token in use lives on, and one at rest ends."""

    def script(calls: UserCalls) -> None:
        set_up(calls, ("bob", [(READWRITE, "b", "d")]))
        calls.use("rest", log_in(calls.member.endpoint, "bob", "bob"))
        began = time.monotonic()
        while time.monotonic() - began < 4.5:
            assert not isinstance(calls.quiet("bob", "KV.Range", key=b"b"), Failure)
            time.sleep(0.2)
        calls("bob", "KV.Range", key=b"b")
        calls("rest", "KV.Range", key=b"b")
        calls("root", "KV.Range", key=b"b")

    compare(pair_with(*CHEAP, "--auth-token-ttl", "2"), script)


def test_leases(pair):
    def script(calls: UserCalls) -> None:
        set_up(calls, ("bob", [(READWRITE, "b", "d")]), ("ann", [(READWRITE, "x", "z"), (WRITE, "b")]))
        for lease in (1, 2, 3):
            calls("root", "Lease.LeaseGrant", ID=lease, TTL=600)
        calls("root", "KV.Put", key=b"x1", lease=1)
        calls("bob", "KV.Put", key=b"b", lease=2)
        # Whoever attaches to a lease must be allowed to write all that hangs on it.
        calls("bob", "KV.Put", key=b"b", lease=1)
        calls("ann", "KV.Put", key=b"x2", lease=1)
        calls("ann", "KV.Put", key=b"x2", lease=2)
        calls("bob", "KV.Put", key=b"c", lease=3)
        calls("bob", "KV.Put", key=b"c", lease=99)
        calls("ann", "Lease.LeaseRevoke", ID=3)
        calls("bob", "Lease.LeaseRevoke", ID=1)
        calls("bob", "Lease.LeaseRevoke", ID=99)
        calls("bob", "Lease.LeaseRevoke", ID=3)
        calls("root", "Lease.LeaseRevoke", ID=1)
        calls("root", "KV.Range", key=b"\0", range_end=b"\0")
        # A lease that runs out ends though nobody asks.
        calls("root", "Lease.LeaseGrant", ID=7, TTL=2)
        calls("bob", "KV.Put", key=b"c", lease=7)
        wait_until(lambda: calls.quiet("root", "KV.Range", key=b"c").count == 0, "the lease to run out", 30)

    compare(pair, script)


def test_etcdctl(pair):
    """Whole sessions of etcdctl as an administrator has them."""

    def script(session: Session) -> None:
        session("auth", "enable")
        session("user", "add", "root:secret")
        session("user", "add", "bob", "--interactive=false", stdin="pass word\n")
        session("user", "add", "cert", "--no-password")
        session("role", "add", "app")
        session("role", "grant-permission", "app", "readwrite", "/app/", "--prefix")
        session("role", "grant-permission", "app", "read", "/all", "--from-key")
        session("role", "grant-permission", "app", "write", "/one")
        session("user", "grant-role", "bob", "app")
        session("user", "get", "bob", "--detail")
        session("auth", "enable")
        session("user", "grant-role", "root", "root")
        session("auth", "enable")
        root, bob = ("--user", "root:secret"), ("--user", "bob:pass word")
        session("get", "/app/x")
        session(*bob, "put", "/app/x", "1")
        session(*bob, "get", "/app/", "--prefix")
        session(*bob, "get", "/app", "--prefix")
        session(*bob, "put", "/one", "1")
        session(*bob, "get", "/one")
        session(*bob, "get", "/zoo")
        session(*bob, "user", "list")
        session(*bob, "role", "get", "app")
        session(*bob, "role", "get", "other")
        session("--user", "bob:wrong", "get", "/app/x")
        session("--user", "bob", "--password", "pass word", "get", "/app/x")
        session("--user", "cert:x", "get", "/app/x")
        session(*root, "role", "list")
        session(*root, "user", "list")
        for form in ("simple", "json", "fields"):
            session(*root, "role", "get", "app", "-w", form)
            session(*root, "user", "get", "bob", "-w", form)
        session(*root, "role", "revoke-permission", "app", "/one")
        session(*root, "role", "revoke-permission", "app", "/one")
        session(*root, "user", "passwd", "bob", "--interactive=false", stdin="new\n")
        session(*bob, "get", "/app/x")
        session("--user", "bob:new", "get", "/app/x")
        session(*root, "role", "delete", "app")
        session("--user", "bob:new", "get", "/app/x")
        session(*root, "user", "delete", "bob")
        session(*root, "auth", "disable")
        session("get", "/app/x")

    pair.compare_sessions(script)


def test_permissions_survive_restarts_and_kills(member_with):
    """After kill -9, and after a restart, users have what they had. Tokens are gone, but for those whose entry was not in
    the database yet and is applied again."""
    member = member_with(None, *CHEAP).start()
    calls = UserCalls(member)
    set_up(calls, ("bob", [(READWRITE, "b", "d")]))
    old = calls.tokens["bob"]
    for end in (member.kill, member.stop):
        end()
        member.start()
        if end == member.stop:
            refused = Failure("UNAUTHENTICATED", "etcdserver: invalid auth token")
            assert User(member.endpoint, old).call("KV.Range", key=b"b") == refused
        bob = User(member.endpoint, log_in(member.endpoint, "bob", "bob"))
        assert not isinstance(bob.call("KV.Put", key=b"b"), Failure)
        assert bob.call("KV.Put", key=b"x") == Failure("PERMISSION_DENIED", "etcdserver: permission denied")
        bob.close()
    calls.close()


@pytest.mark.ours_only
def test_no_password_or_token_is_written(member_with, directory):
    """Neither the log lines, at whatever level, nor the write-ahead log, the database, the metrics, the variables or the audit
    log hold a password or a token, whichever way they came: by gRPC, in JSON, or from etcdctl."""
    from harness.gateway import Gateway

    audit = directory / "audit.log"
    member = member_with(
        None, *CHEAP, "--log-level", "debug", "--metrics", "extensive", "--warning-unary-request-duration", "1ns",
        "--audit-log-path", str(audit)).start()
    calls, gateway, session = UserCalls(member), Gateway(member), Session(member)
    calls(None, "Auth.UserAdd", name="root", password="pa55-of-root")
    calls(None, "Auth.UserGrantRole", user="root", role="root")
    gateway.post("/v3/auth/user/add", {"name": "json", "password": "pa55-of-json"})
    assert session.quiet("user", "add", "ctl:pa55-of-ctl").ok
    assert session.quiet("user", "add", "ctl2", "--interactive=false", stdin="pa55-of-ctl2\n").ok
    calls(None, "Auth.AuthEnable")
    token = log_in(member.endpoint, "root", "pa55-of-root")
    calls.use("root", token)
    log_in(member.endpoint, "root", "wr0ng-of-root")
    calls("root", "Auth.UserAdd", name="bob", password="pa55-of-bob")
    calls("root", "Auth.UserAdd", name="bob", password="pa55-again-of-bob")
    calls("root", "Auth.UserAdd", name="long", password="pa55-too-long-of-bob" * 10)
    calls("root", "Auth.UserChangePassword", name="bob", password="n3w-of-bob")
    calls("root", "Auth.UserChangePassword", name="nobody", password="n3w-of-nobody")
    calls("root", "Auth.UserAdd", name="none", password="pa55-of-none", options={"no_password": True})
    calls.use("wrong", "x" + token)
    calls("wrong", "KV.Range", key=b"a")
    tokens = [token]
    for name, password in (("json", "pa55-of-json"), ("json", "wr0ng-of-json")):
        answer = json.loads(gateway.post("/v3/auth/authenticate", {"name": name, "password": password}))
        tokens += [answer["token"]] if "token" in answer else []
    assert len(tokens) == 2
    gateway.post("/v3/auth/user/changepw", {"name": "json", "password": "n3w-of-json"}, Authorization=token)
    gateway.post("/v3/auth/user/add", '{"name": "json", "password": "br0ken-of-json', Authorization=token)
    gateway.post("/v3/kv/range", {"key": "YQ=="}, Authorization="Bearer " + token)
    assert session.quiet("--user", "ctl2:pa55-of-ctl2", "get", "a").code != 0
    as_root = ("--user", "root:pa55-of-root")
    assert session.quiet(*as_root, "user", "passwd", "ctl", "--interactive=false", stdin="n3w-of-ctl\n").ok
    assert not session.quiet("--user", "ctl:wr0ng-of-ctl", "get", "a").ok
    calls.close()
    session.close()
    texts = {path: gateway.ask("GET", path)[1].encode() for path in ("/metrics", "/debug/vars")}
    assert all(texts.values())
    member.stop()
    texts["log"] = member.log().encode()
    texts["audit log"] = audit.read_bytes()
    for path in (member.data_dir / "member").rglob("*"):
        if path.is_file():
            texts[str(path)] = path.read_bytes()
    assert any(path.endswith(".wal") for path in texts) and any(path.endswith("/db") for path in texts)
    assert b"$2a$04$" in next(text for path, text in texts.items() if path.endswith("/db"))
    assert b"Authenticate" in texts["log"] and b"Authenticate" in texts["audit log"]
    secrets = [
        f"{kind}-of-{name}" for kind in ("pa55", "n3w", "wr0ng", "br0ken", "pa55-again", "pa55-too-long")
        for name in ("root", "bob", "json", "ctl", "ctl2", "nobody", "none")]
    for secret in secrets:
        held = [where for where, text in texts.items() if secret.encode() in text]
        assert not held, f"{secret} is in {held}"
    for token in tokens:
        # The random part of a token is in the log entry that makes it known to all members, and nowhere else.
        held = [where for where, text in texts.items() if token.split(".")[0].encode() in text and not where.endswith(".wal")]
        assert not held, f"a token is in {held}"


@pytest.mark.ours_only
def test_a_flood_of_logins(member_with):
    """More logins than can be checked are refused with a clear error, and other calls go on meanwhile."""
    from harness.api import in_parallel

    member = member_with(None, "--bcrypt-cost", "9").start()
    calls = UserCalls(member)
    set_up(calls, ("bob", [(READWRITE, "b", "d")]))
    client = Client(member.endpoint)
    pending = [
        client.method("Auth.Authenticate").future(_authenticate("bob", f"wrong {number}"), timeout=600) for number in range(600)
    ]
    ended = lambda code: [call for call in pending if call.done() and call.code().name == code]
    wait_until(lambda: ended("RESOURCE_EXHAUSTED"), "a login to be turned away", 120)
    assert {call.details() for call in ended("RESOURCE_EXHAUSTED")} == {"etcdserver: too many requests"}
    assert not isinstance(calls.quiet("bob", "KV.Put", key=b"b"), Failure)
    # A password that was right before is right at once, for as many clients as come.
    tokens = in_parallel(16, lambda _: log_in(member.endpoint, "bob", "bob"))
    assert not [token for token in tokens if isinstance(token, Failure)]
    wait_until(lambda: ended("INVALID_ARGUMENT"), "a password to be checked", 120)
    refusal = "etcdserver: authentication failed, invalid user ID or password"
    assert {call.details() for call in ended("INVALID_ARGUMENT")} == {refusal}
    for call in pending:
        call.cancel()
    client.close()
    calls.close()


@pytest.mark.ours_only
def test_made_up_tokens_are_refused_before_others_are_answered_thrice(member_with):
    """A token of an entry that is not there yet could be that of a login with another member. It is known that it is not
    once this member has what is committed, so such calls do not pile up."""
    from harness.api import api

    member = member_with(None, *CHEAP).start()
    calls = UserCalls(member)
    set_up(calls)
    client = Client(member.endpoint)
    root = [("token", calls.tokens["root"])]
    calls.quiet("root", "KV.Range", key=b"a")
    range_, put = client.method("KV.Range"), client.method("KV.Put")
    ask = lambda method, request, metadata: method.future(request, timeout=100, metadata=metadata)
    made_up = [
        ask(call, request, [("token", f"abcdefghijklmnop.{10_000 + number}")])
        for number in range(300)
        for call, request in ((range_, api().messages.RangeRequest(key=b"a")), (put, api().messages.PutRequest(key=b"a")))
    ]
    # What comes later on the same connection is answered after them, since all wait for the same.
    for _ in range(3):
        assert ask(range_, api().messages.RangeRequest(key=b"a"), root).exception() is None
    assert sum(call.done() for call in made_up) > len(made_up) / 2
    assert {(call.code().name, call.details()) for call in made_up} == {("UNAUTHENTICATED", "etcdserver: invalid auth token")}
    client.close()
    calls.close()


def _authenticate(name: str, password: str):
    from harness.api import api

    return api().messages.AuthenticateRequest(name=name, password=password)
