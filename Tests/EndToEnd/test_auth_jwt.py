"""JSON Web Tokens: those of genuine etcd count with the server under test and the other way round, for every method."""

import base64
import hmac
import json
import os
import subprocess
import time

import pytest

from harness.api import Failure
from harness.auth import READWRITE, User, UserCalls, compare, log_in, set_up
from harness.waiting import wait_until

UNKNOWN = Failure("UNAUTHENTICATED", "etcdserver: invalid auth token")
OLD = Failure("INVALID_ARGUMENT", "etcdserver: revision of auth store is old")

CURVES = {"ES256": "prime256v1", "ES384": "secp384r1", "ES512": "secp521r1"}
METHODS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "HS256", "HS384", "HS512")


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def make_keys(directory, method: str) -> tuple[str, str]:
    """The files of a private and a public key for `method`."""
    private, public = str(directory / f"{method}.key"), str(directory / f"{method}.pub")
    if method.startswith("HS"):
        with open(private, "wb") as file:
            file.write(os.urandom(40))
        return private, ""
    if method in CURVES:
        openssl("ecparam", "-name", CURVES[method], "-genkey", "-noout", "-out", private)
    elif method == "EdDSA":
        openssl("genpkey", "-algorithm", "ed25519", "-out", private)
    else:
        openssl("genrsa", "-out", private, "2048")
    openssl("pkey", "-in", private, "-pubout", "-out", public)
    return private, public


def flag(method: str, private: str, public: str, ttl: str = "5m") -> tuple[str, ...]:
    parts = ["jwt", f"sign-method={method}", f"ttl={ttl}"]
    parts += [f"priv-key={private}"] if private else []
    parts += [f"pub-key={public}"] if public else []
    return ("--bcrypt-cost", "4", "--auth-token", ",".join(parts))


def claims(token: str) -> tuple[dict, dict]:
    decode = lambda part: json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    head, body, _ = token.split(".")
    return decode(head), decode(body)


@pytest.mark.parametrize("method", METHODS)
def test_tokens_of_either_count_with_both(pair_with, directory, method):
    pair = pair_with(*flag(method, *make_keys(directory, method)))

    def prepare(member):
        calls = UserCalls(member)
        set_up(calls, ("bob", [(READWRITE, "b", "d")]))
        calls.close()
        return calls.tokens["bob"]

    tokens = pair.both(prepare)
    heads, bodies = zip(*(claims(token) for token in tokens))
    assert heads[0] == heads[1] == {"alg": method, "typ": "JWT"}
    assert [body.keys() for body in bodies] == [{"exp", "revision", "username"}] * 2
    assert bodies[0]["revision"] == bodies[1]["revision"] and bodies[0]["username"] == bodies[1]["username"] == "bob"
    for member in (pair.genuine, pair.ours):
        for token in tokens:
            user = User(member.endpoint, token)
            assert not isinstance(user.call("KV.Put", key=b"b"), Failure), f"{member.name}: {claims(token)}"
            assert user.call("KV.Put", key=b"x").code == "PERMISSION_DENIED"
            user.close()
            head, body, signature = token.split(".")
            altered = [
                f"{head}.{body}.{signature[:-8]}AAAAAAAA", f"{head}.{body}.", f"{head}.{body}", body, "",
                f"{base64.urlsafe_b64encode(json.dumps({'alg': 'none', 'typ': 'JWT'}).encode()).decode().rstrip('=')}.{body}.",
            ]
            for wrong in altered:
                user = User(member.endpoint, wrong)
                assert user.call("KV.Range", key=b"b") == UNKNOWN, f"{member.name}: {wrong}"
                user.close()


def test_tokens_are_of_a_revision(pair_with, directory):
    """A token says at which auth revision its user was let in, and is refused once that has passed."""

    def script(calls: UserCalls) -> None:
        set_up(calls, ("bob", [(READWRITE, "b", "d")]))
        calls("root", "Auth.RoleAdd", name="r")
        # For calls that take root the revision does not count.
        calls("root", "Auth.RoleAdd", name="r2")
        for user in ("root", "bob"):
            calls.outcome(user, "KV.Range", key=b"b")
            calls.outcome(user, "KV.Range", key=b"b", serializable=True)
            calls.outcome(user, "KV.Put", key=b"b")
            calls.outcome(user, "KV.Txn", success=[{"request_put": {"key": b"b"}}])
            answer = calls.watch(user).created(key=b"b")
            calls.note(f"{user}: watch", (answer.canceled, answer.cancel_reason))
        calls.log_in("bob", "bob")
        calls.outcome("bob", "KV.Put", key=b"b")
        # Another password does not end a token that is signed, but its revision does.
        calls("root", "Auth.UserChangePassword", name="bob", password="new")
        calls.outcome("bob", "KV.Put", key=b"b")
        calls("root", "Auth.AuthDisable")

    compare(pair_with(*flag("ES256", *make_keys(directory, "ES256"))), script)


def test_claims_are_read_alike(pair_with, directory):
    """What another program signs with the members' secret: odd times, revisions and names, and two claims of one name."""
    secret, private = os.urandom(40), directory / "secret"
    private.write_bytes(secret)

    def signed(body: dict | bytes, **head: str) -> str:
        encode = lambda part: base64.urlsafe_b64encode(part).decode().rstrip("=")
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        message = f"{encode(json.dumps({'alg': 'HS256', 'typ': 'JWT', **head}).encode())}.{encode(text)}"
        return f"{message}.{encode(hmac.digest(secret, message.encode(), 'sha256'))}"

    def script(calls: UserCalls) -> None:
        set_up(calls, ("bob", [(READWRITE, "b", "d")]))
        revision = claims(calls.tokens["bob"])[1]["revision"]
        end = int(time.time()) + 1000
        good = {"username": "bob", "revision": revision, "exp": end}
        without = lambda name: {key: value for key, value in good.items() if key != name}
        twice = b'{"username":"root","username":"bob","revision":%d,"revision":%d,"exp":%d}' % (revision - 1, revision, end)
        for number, token in enumerate((
            signed(good), signed(without("exp")), signed({**good, "exp": str(end)}), signed({**good, "exp": end + 0.5}),
            signed({**good, "exp": None}), signed({**good, "exp": -1}), signed({**good, "exp": 0}),
            signed({**good, "nbf": end}), signed({**good, "nbf": 5}), signed({**good, "nbf": "x"}), signed({**good, "nbf": None}),
            signed({**good, "revision": revision + 0.5}), signed({**good, "revision": revision - 1}),
            signed({**good, "revision": revision + 1}), signed({**good, "revision": 0}),
            signed({**good, "username": ""}), signed({**good, "username": "nobody"}), signed({**good, "aud": [{"username": "root"}]}),
            signed(twice), signed(twice.replace(b'"username":"bob"', rb'"user\u006eame":"b\u006fb"')),
            signed(b"\xef\xbb\xbf" + json.dumps(good).encode()), signed(b" \n" + json.dumps(good).encode() + b"\t"),
            signed(good, alg="hs256"), signed(good, alg="HS384"), signed(good, alg="none"), signed(good, typ="other"),
            signed(good) + "=",
        )):
            calls.use(f"token {number}", token)
            for name, fields in (("KV.Range", {"key": b"b"}), ("KV.Put", {"key": b"b"}), ("KV.Put", {"key": b"x"}), ("Auth.UserList", {})):
                calls.outcome(f"token {number}", name, **fields)

    answers = compare(pair_with(*flag("HS256", str(private), "")), script)
    assert sum("invalid auth token" in answer for answer in answers) > 20


def test_tokens_end(pair_with, directory):
    def script(calls: UserCalls) -> None:
        set_up(calls, ("bob", [(READWRITE, "b", "d")]))
        calls.outcome("bob", "KV.Range", key=b"b")
        time.sleep(3.2)
        calls.outcome("bob", "KV.Range", key=b"b")
        calls.log_in("bob", "bob")
        calls.outcome("bob", "KV.Range", key=b"b")

    compare(pair_with(*flag("ES256", *make_keys(directory, "ES256"), ttl="2s")), script)


@pytest.mark.ours_only
def test_keys_that_only_verify_several_keys_and_keys_that_change(member_with, directory):
    """Tokens that somebody else signs: whichever of the keys in the file they fit, and the file may change meanwhile."""
    signers = []
    for number in range(3):
        (directory / str(number)).mkdir()
        private, public = make_keys(directory / str(number), "EdDSA")
        signer = member_with(None, *flag("EdDSA", private, public), name=f"signer-{number}").start()
        calls = UserCalls(signer)
        set_up(calls, ("bob", [(READWRITE, "b", "d")]))
        signers.append((open(public).read(), calls.tokens["bob"]))
        calls.close()
        signer.stop()
    keys = directory / "keys.pub"
    keys.write_text(signers[0][0] + "# a comment between keys\n" + signers[1][0])
    member = member_with(None, *flag("EdDSA", "", str(keys)), name="verifier").start()
    calls = UserCalls(member)
    calls(None, "Auth.UserAdd", name="root", password="root")
    calls(None, "Auth.UserGrantRole", user="root", role="root")
    calls(None, "Auth.UserAdd", name="bob", password="bob")
    calls(None, "Auth.RoleAdd", name="role-bob")
    from harness.auth import permission

    calls(None, "Auth.RoleGrantPermission", name="role-bob", perm=permission(READWRITE, "b", "d"))
    calls(None, "Auth.UserGrantRole", user="bob", role="role-bob")
    calls(None, "Auth.AuthEnable")
    calls.close()
    refused = log_in(member.endpoint, "bob", "bob")
    assert refused == Failure("UNKNOWN", "auth: token signing attempted with verify-only key")

    def counts(number: int) -> bool:
        user = User(member.endpoint, signers[number][1])
        answer = user.call("KV.Put", key=b"b")
        user.close()
        assert answer == UNKNOWN or not isinstance(answer, Failure), answer
        return answer != UNKNOWN

    assert [counts(number) for number in range(3)] == [True, True, False]
    # A file that cannot be read as keys changes nothing.
    keys.write_text("half a file")
    wait_until(lambda: "the keys of auth tokens have changed" in member.log(), "the wrong file to be noticed")
    assert [counts(number) for number in range(3)] == [True, True, False]
    keys.write_text(signers[2][0])
    wait_until(lambda: counts(2), "the new key to count")
    assert [counts(number) for number in range(3)] == [False, False, True]


@pytest.mark.ours_only
@pytest.mark.parametrize("value, reason", [
    ("cookie", "neither simple nor jwt"), ("jwt", "invalid auth signature method"), ("jwt,sign-method=XX1", "signature method"),
    ("jwt,sign-method=RS256", "missing key data"), ("jwt,sign-method=RS256,priv-key=/nothing", "/nothing cannot be read"),
    ("jwt,sign-method=RS256,ttl=x,priv-key=/nothing", "ttl=x"), ("jwt,sign-method", "not of the form key=value"),
    ("jwt,sign-method=HS256,sign-method=HS256", "given twice"), ("jwt,sign-method=ES256,priv-key=KEY", "cannot be used"),
])
def test_wrong_flags(member_with, directory, value, reason):
    private, _ = make_keys(directory, "RS256")
    member = member_with(None, "--auth-token", value.replace("KEY", private)).launch()
    assert member.process.wait(30) == 1
    member.process = None
    assert reason in member.log().strip().splitlines()[-1]


