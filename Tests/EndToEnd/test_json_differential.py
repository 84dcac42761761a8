"""The API in JSON, byte for byte as etcd 3.4 answers it (ids of leases, sizes and versions aside)."""

import json
import random

import pytest

from harness.gateway import Gateway, WebSocket, b64
from harness.pair import Pair, assert_equal_transcripts


def compare(pair: Pair, script, **options) -> list[str]:
    """Runs a script of requests against both members and fails where the answers differ."""

    def run(member) -> list[str]:
        gateway = Gateway(member, **options)
        script(gateway)
        return gateway.transcript

    genuine, ours = pair.both(run)
    assert_equal_transcripts(genuine, ours)
    return genuine


def test_keys(pair):
    def script(g: Gateway) -> None:
        g.post("/v3/kv/put", {"key": b64("a"), "value": b64("1")})
        g.post("/v3/kv/put", {"key": b64("b"), "value": b64(bytes(range(256)))})
        g.post("/v3/kv/put", {"key": b64("a"), "value": b64("2"), "prev_kv": True})
        g.post("/v3/kv/put", {"key": b64("a"), "ignore_value": True})
        g.post("/v3/kv/put", {"key": b64("c"), "ignoreLease": True})
        g.post("/v3/kv/put", {"key": b64("c"), "lease": "7"})
        g.post("/v3/kv/range", {"key": b64("a")})
        g.post("/v3/kv/range", {"key": b64("\0"), "range_end": b64("\0")})
        g.post("/v3/kv/range", {"key": b64("a"), "rangeEnd": b64("c"), "limit": "1"})
        g.post("/v3/kv/range", {"key": b64("a"), "range_end": b64("z"), "count_only": True})
        g.post("/v3/kv/range", {"key": b64("a"), "range_end": b64("z"), "keysOnly": True})
        g.post("/v3/kv/range", {"key": b64("a"), "range_end": b64("z"), "sort_order": "DESCEND", "sort_target": 3})
        g.post("/v3/kv/range", {"key": b64("a"), "revision": "2"})
        g.post("/v3/kv/range", {"key": b64("a"), "revision": "99"})
        g.post("/v3/kv/deleterange", {"key": b64("a"), "prevKv": True})
        g.post("/v3/kv/deleterange", {"key": b64("a"), "range_end": b64("z")})
        g.post("/v3/kv/compaction", {"revision": "3"})
        g.post("/v3/kv/compaction", {"revision": 4, "physical": True})
        g.post("/v3/kv/compaction", {"revision": "2"})
        g.post("/v3/kv/compaction", {"revision": "99"})
        g.post("/v3/kv/range", {"key": b64("a"), "revision": "2"})

    compare(pair, script)


def test_transactions(pair):
    def script(g: Gateway) -> None:
        def txn(**body) -> None:
            g.post("/v3/kv/txn", body)

        put = {"request_put": {"key": b64("t"), "value": b64("v")}}
        get = {"requestRange": {"key": b64("t")}}
        txn()
        txn(compare=[{"target": "CREATE", "key": b64("t"), "create_revision": "0"}], success=[put, get])
        txn(compare=[{"target": "CREATE", "key": b64("t"), "createRevision": 0}], success=[put], failure=[get])
        for target, value in [("VALUE", {"value": b64("v")}), ("MOD", {"mod_revision": "2"}),
                              ("VERSION", {"version": 1}), ("LEASE", {"lease": "0"})]:
            for result in ("EQUAL", "GREATER", "LESS", "NOT_EQUAL", 3):
                txn(compare=[{"result": result, "target": target, "key": b64("t"), **value}], success=[get])
        txn(success=[{"request_txn": {"compare": [], "success": [put], "failure": []}}, get])
        txn(success=[{"request_delete_range": {"key": b64("t"), "prev_kv": True}}])
        txn(success=[put, put])
        txn(success=[{}])
        txn(success=[{"request_put": None}])
        txn(success=[{"request_put": {}}])
        txn(compare=None, success=None)
        g.post("/v3/kv/txn", '{"compare":{}}')
        g.post("/v3/kv/txn", '{"compare":[1]}')
        g.post("/v3/kv/txn", '{"success":["x"]}')
        g.post("/v3/kv/txn", '{"compare":[{"result":"NOPE"}]}')
        g.post("/v3/kv/txn", '{"compare":[{"result":"EQUAL","target":"X"}],"success":5}')

    compare(pair, script)


def test_leases_locks_and_elections(pair):
    def script(g: Gateway) -> None:
        g.post("/v3/lease/grant", {"ID": "77", "TTL": "600"})
        g.post("/v3/lease/grant", {"ID": 77, "TTL": 600})
        g.post("/v3/lease/grant", {"ID": "99", "TTL": "-5"})
        g.post("/v3/lease/grant", {"TTL": "9000000001"})
        g.post("/v3/kv/put", {"key": b64("l"), "lease": "77"})
        for prefix in ("/v3/lease", "/v3/kv/lease", "/v3beta/lease", "/v3beta/kv/lease"):
            g.post(f"{prefix}/timetolive", {"ID": "78", "keys": True})
            g.post(f"{prefix}/leases")
            g.post(f"{prefix}/revoke", {"ID": "78"})
        for path in ("/v3/lease/timetolive", "/v3/kv/lease/timetolive"):
            status = json.loads(Gateway(g.member).post(path, {"ID": "77", "keys": True}))
            assert 590 <= int(status.pop("TTL")) <= 600
            g.note(path, json.dumps(status))
        g.stream("/v3/lease/keepalive", {"ID": "77"}, 1)
        g.stream("/v3/lease/keepalive", '{"ID":"77"} {"ID":"78"}\n{"ID":79}', 5)
        g.stream("/v3/lease/keepalive", "", 1)
        g.stream("/v3/lease/keepalive", '{"ID":"x"}', 1)
        lease = g.grant(600)
        g.post("/v3/lock/lock", {"name": b64("mutex"), "lease": lease})
        g.post("/v3/lock/lock", {"name": b64("mutex"), "lease": "4242"})
        g.post("/v3/election/leader", {"name": b64("office")})
        campaign = json.loads(g.post("/v3/election/campaign", {"name": b64("office"), "value": b64("me"), "lease": lease}))
        g.post("/v3/election/leader", {"name": b64("office")})
        g.stream("/v3/election/observe", {"name": b64("office")}, 1)
        g.post("/v3/election/proclaim", {"leader": campaign["leader"], "value": b64("still me")})
        g.post("/v3/election/resign", {"leader": campaign["leader"]})
        g.post("/v3/election/proclaim", {"leader": campaign["leader"], "value": b64("nobody")})
        g.post("/v3/lock/unlock", {"key": b64("nothing")})
        g.post("/v3/kv/lease/revoke", {"ID": "77"})
        g.post("/v3/kv/range", {"key": b64("l")})

    compare(pair, script)


def test_cluster_and_maintenance(pair):
    def script(g: Gateway) -> None:
        def alarm(body: dict) -> None:
            # Answers about alarms have a header since etcd 3.5.
            answer = json.loads(Gateway(g.member).post("/v3/maintenance/alarm", body))
            answer.pop("header", None)
            g.note(str(body), json.dumps(answer))

        def change(what: str, body: dict) -> None:
            g.post(f"/v3/cluster/member/{what}", body)
            # Raft drops a change that comes before the last one's end has reached it, and genuine etcd then never
            # answers. A read that begins after the answer ends behind that.
            Gateway(g.member).post("/v3/kv/range", {"key": b64("none")})

        g.post("/v3/cluster/member/list")
        change("add", {"peerURLs": ["http://localhost:2380"]})
        change("add", {"peerURLs": ["zz"]})
        change("remove", {"ID": "5"})
        change("update", {"ID": "5", "peerURLs": ["http://127.0.0.1:1"]})
        change("promote", {"ID": 5})
        g.post("/v3/maintenance/status")
        g.post("/v3/maintenance/status", "")
        alarm({})
        alarm({"action": "ACTIVATE", "alarm": "NOSPACE", "memberID": "5"})
        alarm({"action": "GET"})
        g.post("/v3/kv/put", {"key": b64("a")})
        alarm({"action": "DEACTIVATE", "alarm": 1, "memberID": "5"})
        g.post("/v3/maintenance/hash", {"revision": "0"})
        g.post("/v3/maintenance/defragment")
        g.post("/v3/maintenance/transfer-leadership", {"targetID": "5"})
        g.stream("/v3/maintenance/snapshot", "x", 1)

    compare(pair, script)


def test_users_and_roles(pair):
    def script(g: Gateway) -> None:
        g.post("/v3/auth/authenticate", {"name": "root", "password": "p"})
        g.post("/v3/auth/enable")
        g.post("/v3/auth/user/add", {"name": "a<b>&\u2028é", "password": "x"})
        g.post("/v3/auth/user/add", {"name": "a<b>&\u2028é", "password": "x"})
        g.post("/v3/auth/user/add", {"name": "", "password": "x"})
        g.post("/v3/auth/user/list")
        g.post("/v3/auth/user/get", {"name": "nobody"})
        g.post("/v3/auth/role/add", {"name": "r"})
        g.post("/v3/auth/role/grant", {"name": "r", "perm": {"permType": "READWRITE", "key": b64("a"), "range_end": b64("b")}})
        g.post("/v3/auth/role/grant", {"name": "r", "perm": {"permType": 0, "key": b64("k")}})
        g.post("/v3/auth/role/get", {"role": "r"})
        g.post("/v3/auth/role/get", {"role": "s"})
        g.post("/v3/auth/role/list")
        g.post("/v3/auth/user/grant", {"user": "a<b>&\u2028é", "role": "r"})
        g.post("/v3/auth/user/get", {"name": "a<b>&\u2028é"})
        g.post("/v3/auth/user/revoke", {"name": "a<b>&\u2028é", "role": "r"})
        g.post("/v3/auth/role/revoke", {"role": "r", "key": b64("a"), "range_end": b64("b")})
        g.post("/v3/auth/user/changepw", {"name": "a<b>&\u2028é", "password": "y"})
        g.post("/v3/auth/role/delete", {"role": "r"})
        g.post("/v3/auth/user/delete", {"name": "a<b>&\u2028é"})
        g.post("/v3/auth/disable")
        # With auth enabled: without a token, with a wrong one, and with a token in each of its places.
        g.post("/v3/auth/user/add", {"name": "root", "password": "p"})
        g.post("/v3/auth/user/grant", {"user": "root", "role": "root"})
        g.post("/v3/auth/role/add", {"name": "root"})
        g.post("/v3/auth/user/grant", {"user": "root", "role": "root"})
        g.post("/v3/auth/enable")
        g.post("/v3/kv/range", {"key": b64("a")})
        g.post("/v3/kv/range", {"key": b64("a")}, Authorization="wrong")
        g.post("/v3/auth/authenticate", {"name": "root", "password": "wrong"})
        token = json.loads(g.post("/v3/auth/authenticate", {"name": "root", "password": "p"}))["token"]
        for place in ({"Authorization": token}, {"Grpc-Metadata-Token": token}, {"Grpc-Metadata-Authorization": token}):
            g.ask("POST", "/v3/kv/range", {"key": b64("a")}, **place)
        g.ask("POST", "/v3/auth/disable", "{}", Authorization=token)

    compare(pair, script)


def test_what_users_may(pair):
    """Permissions count for requests in JSON as they do for gRPC: keys, transactions, leases, watches, locks and elections."""

    def script(g: Gateway) -> None:
        for name in ("root", "bob"):
            g.post("/v3/auth/user/add", {"name": name, "password": name})
            g.post("/v3/auth/role/add", {"name": name})
            g.post("/v3/auth/user/grant", {"user": name, "role": name})
        g.post("/v3/auth/role/grant", {"name": "bob", "perm": {"permType": "READWRITE", "key": b64("b"), "range_end": b64("d")}})
        g.post("/v3/auth/role/grant", {"name": "bob", "perm": {"permType": "WRITE", "key": b64("w")}})
        for name in ("mine/", "office/"):
            end = name[:-1] + "0"
            g.post("/v3/auth/role/grant", {"name": "bob", "perm": {"permType": 2, "key": b64(name), "range_end": b64(end)}})
        for lease in ("1", "2", "3"):
            g.post("/v3/lease/grant", {"ID": lease, "TTL": "600"})
        g.post("/v3/kv/put", {"key": b64("secret"), "value": b64("s"), "lease": "1"})
        g.post("/v3/auth/enable")

        def log_in(name: str, password: str) -> dict[str, str]:
            return {"Authorization": json.loads(g.post("/v3/auth/authenticate", {"name": name, "password": password}))["token"]}

        root, bob, nobody, wrong = log_in("root", "root"), log_in("bob", "bob"), {}, {"Authorization": "x.1"}
        put = lambda key, **fields: {"request_put": {"key": b64(key), "value": b64("v"), **fields}}
        get = lambda key, end="": {"requestRange": {"key": b64(key), "range_end": b64(end)}}
        delete = lambda key: {"request_delete_range": {"key": b64(key)}}
        for who in (nobody, wrong, bob, root):
            for key in ("b", "c", "x", "w"):
                g.post("/v3/kv/put", {"key": b64(key), "value": b64("1")}, **who)
                g.post("/v3/kv/put", {"key": b64(key), "prev_kv": True}, **who)
                g.post("/v3/kv/range", {"key": b64(key)}, **who)
                g.post("/v3beta/kv/range", {"key": b64(key), "serializable": True}, **who)
                g.post("/v3/kv/txn", {"success": [put(key)]}, **who)
                g.post("/v3/kv/txn", {"compare": [{"target": "CREATE", "key": b64(key)}]}, **who)
                g.post("/v3/kv/txn", {"success": [get("b")], "failure": [delete(key)]}, **who)
                g.post("/v3/kv/deleterange", {"key": b64(key), "prev_kv": True}, **who)
            for end in ("c", "d", "e"):
                g.post("/v3/kv/range", {"key": b64("b"), "range_end": b64(end)}, **who)
                # A watch that is wider than what its user may read is refused on the stream.
                g.stream("/v3/watch", {"create_request": {"key": b64("b"), "range_end": b64(end), "start_revision": "1000"}}, 1, **who)
            g.post("/v3/kv/put", {"key": b64("b"), "lease": "1"}, **who)
            g.post("/v3/kv/put", {"key": b64("b"), "lease": "2"}, **who)
            g.post("/v3/kv/put", {"key": b64("b"), "lease": "99"}, **who)
        g.post("/v3/kv/lease/revoke", {"ID": "98"}, **bob)
        g.post("/v3/lease/revoke", {"ID": "1"}, **bob)
        g.post("/v3/kv/range", {"key": b64("secret")}, **root)
        for path, body in (
            ("user/list", {}), ("user/get", {"name": "bob"}), ("user/get", {"name": "root"}), ("role/get", {"role": "bob"}),
            ("role/get", {"role": "root"}), ("role/list", {}), ("user/add", {"name": "eve", "password": "x"}),
            ("user/changepw", {"name": "root", "password": "x"}), ("user/grant", {"user": "bob", "role": "root"}), ("disable", {}),
        ):
            for who in (nobody, wrong, bob):
                g.post(f"/v3/auth/{path}", body, **who)
        # Locks and elections are made of calls of their client's.
        for name in ("mine", "theirs"):
            g.post("/v3/lock/lock", {"name": b64(name), "lease": "3"}, **bob)
            g.post("/v3/lock/unlock", {"key": b64(f"{name}/3")}, **bob)
        for name in ("office", "throne"):
            g.post("/v3/election/campaign", {"name": b64(name), "value": b64("bob"), "lease": "3"}, **bob)
            g.post("/v3/election/leader", {"name": b64(name)}, **bob)
            leader = {"name": b64(name), "key": b64(f"{name}/3"), "rev": "1", "lease": "3"}
            g.post("/v3/election/proclaim", {"leader": leader, "value": b64("still")}, **bob)
            g.post("/v3/election/resign", {"leader": leader}, **bob)
        for who in (nobody, wrong):
            g.post("/v3/lock/lock", {"name": b64("mine"), "lease": "3"}, **who)
            g.post("/v3/election/leader", {"name": b64("office")}, **who)
        # Another password ends the token; a role that is taken away counts at once.
        g.post("/v3/auth/user/changepw", {"name": "bob", "password": "new"}, **root)
        g.post("/v3/kv/range", {"key": b64("b")}, **bob)
        g.stream("/v3/watch", {"create_request": {"key": b64("b")}}, 1, **bob)
        bob = log_in("bob", "new")
        g.post("/v3/kv/range", {"key": b64("b")}, **bob)
        g.post("/v3/auth/user/revoke", {"name": "bob", "role": "bob"}, **root)
        g.post("/v3/kv/range", {"key": b64("b")}, **bob)
        g.stream("/v3/watch", {"create_request": {"key": b64("b")}}, 1, **bob)
        g.post("/v3/lock/lock", {"name": b64("mine"), "lease": "3"}, **bob)

    compare(pair, script)


FORMS = [
    '{"key":"Zm9v","limit":"1"}', '{"key":"Zm9v","limit":1}', '{"key":"Zm9v","limit":1.0}',
    '{"key":"Zm9v","limit":1.5}', '{"key":"Zm9v","limit":1e3}', '{"key":"Zm9v","limit":"1e3"}',
    '{"key":"Zm9v","limit":true}', '{"key":"Zm9v","limit":null}', '{"key":"Zm9v","limit":"null"}',
    '{"key":"Zm9v","limit":"true"}', '{"key":"Zm9v","limit":"[1]"}', '{"key":"Zm9v","limit":"1 2"}',
    '{"key":"Zm9v","limit":"\\u0031"}', '{"key":"Zm9v","limit":"x"}', '{"key":"Zm9v","limit":"- 1"}',
    '{"key":null}', '{"key":"Zm9v"} trailing', '{"key":"Zm9v"}{"key":"Zm9w"}', "null", "[]", '"x"', "5", "true",
    '{"key":"Zm9v","sort_order":"DESCEND"}', '{"key":"Zm9v","sortOrder":"DESCEND"}', '{"key":"Zm9v","sort_order":2}',
    '{"key":"Zm9v","sort_order":"2"}', '{"key":"Zm9v","sort_order":"NOPE"}', '{"key":"Zm9v","sort_order":"a\\"b"}',
    '{"key":"Zm9v","sort_order":99999999999}', '{"key":"Zm9v","sort_order":1.5}',
    '{"key":"Zm9v","sort_order":true}', '{"key":"Zm9v","sort_order":null}', '{"key":"Zm9v","sort_order":{}}',
    '{"key":"Zm9v","keys_only":"true"}', '{"key":"Zm9v","keys_only":1}', '{"key":"Zm9v","keys_only":null}',
    '{"key":"Zm9v","key":"Zm9w"}', '{"Key":"Zm9v"}', '{"key":"Zm9v","nope":[{"a":{}},"}",null,-1.5e-7]}',
    '{"key":"Zm9v","range_end":"Zm9w","rangeEnd":"eg=="}', '{"key":"Zm9v","rangeEnd":"Zm9w","range_end":"eg=="}',
    '{"\\u006bey":"Zm9v"}', '{"key":"\\u005am9v"}', '{"key":"Zm9"}', '{"key":"Zm 9v"}', '{"key":"Zm9v\\n"}',
    '{"key":"_-8="}', '{"key":"/+8="}', '{"key":"_-8"}', '{"key":"Zg"}', '{"key":"Zg="}', '{"key":"Zg=="}',
    '{"key":"Zg==="}', '{"key":"Zg==Zg=="}', '{"key":"=g=="}', '{"key":"Z==="}', '{"key":"Zm8=x"}', '{"key":"Zg=\\n="}',
    '{"key":"Zg=\\n"}', '{"key":"\\ud800"}', '{"key":"\\ud83d\\ude00"}', '{"key":{}}', '{"key":[]}',
    '{"key":[102,111,111]}', '{"key":[256]}', '{"key":[1,null,2]}', '{"key":["a",1]}', '{"key":true}', '{"key":1}',
    '{"limit":"9223372036854775808"}', '{"limit":9223372036854775808}', '{"limit":"-9223372036854775808","key":"Zm9v"}',
    '{"limit":""}', '{"limit":" 1"}', '{"limit":"1 "}', '{"limit":{}}', '{"limit":[1]}', '{"limit":-1,"key":"Zm9v"}',
    '{"limit":-0,"key":"Zm9v"}', '{"limit":"x","key":5}', '{"serializable":5,"limit":"x","key":"!"}',
    # No JSON.
    "", " ", "\n", "{", "x", '{"key":"Zm9v"', '{"key":"Zm9', '{"key":"Zm9v",}', '{key:"Zm9v"}', '{"key" "Zm9v"}',
    '{"key":"Zm9v" "a"}', "{]", "[}", "[1 2]", "[1,]", "[,", "tru", "truE", "nul!", "falsy", "-", "-x", "01", "1.", "1.x",
    "1e", "1e+", "1ex", "1.5e5x", '"\\x"', '"\\u00g0"', '"\\u12"', '"\x01"', '"a\nb"', '{"a":1}}', "]", "}", ",", ":",
    "\x00", "\x7f", "'", '"', "\\", "{\"a\":\x1f}", "{'a':1}", "<", "&", "\ufeff{}", "é", '{"a":é}', "{\"key\":\"Zm9v\"}\x00",
    "[" * 100, "[" * 10001, '{"a":' * 10001, '{"key":' + "[" * 5000 + "]" * 5000 + "}",
    '{"nope":' + "[" * 9990 + "]" * 9990 + ',"key":"Zm9v"}',
]


def test_forms_of_requests(pair):
    """What is taken and what is refused, and with which words."""

    def script(g: Gateway) -> None:
        g.post("/v3/kv/put", {"key": b64("foo"), "value": b64("bar")})
        for form in FORMS:
            g.post("/v3/kv/range", form.encode())
        g.post("/v3/kv/range", b'{"key":"\xff"}')
        g.post("/v3/kv/range", b'{"key":"Zm9v","\xff":1}')
        g.post("/v3/auth/user/add", b'{"name":5}')
        g.post("/v3/auth/user/add", b'{"name":["a"]}')
        g.post("/v3/cluster/member/add", b'{"peerURLs":"a"}')
        g.post("/v3/cluster/member/add", b'{"peerURLs":[1]}')
        g.post("/v3/auth/role/grant", b'{"perm":5}')
        g.post("/v3/auth/role/grant", b'{"perm":[]}')
        g.post("/v3/cluster/member/remove", b'{"ID":-1}')
        g.post("/v3/cluster/member/remove", b'{"ID":"18446744073709551616"}')

    compare(pair, script)


def random_request(random: random.Random) -> tuple[str, dict]:
    """A request about few keys, with its fields in one of the forms that there are."""

    def key() -> str:
        return b64(random.choice("abcde"))

    def number(value: int):
        return random.choice([value, str(value), f" {value}" if random.random() < 0.1 else str(value)])

    def field(name: str) -> str:
        parts = name.split("_")
        return random.choice([name, parts[0] + "".join(part.title() for part in parts[1:])])

    def put() -> dict:
        body = {"key": key(), "value": b64(random.randbytes(random.randrange(0, 20)))}
        if random.random() < 0.3:
            body[field("prev_kv")] = random.choice([True, False, None])
        if random.random() < 0.1:
            body[random.choice(["ignore_value", "ignoreLease"])] = True
        return body

    def get() -> dict:
        body = {"key": key()}
        if random.random() < 0.5:
            body[field("range_end")] = random.choice([key(), b64("\0"), b64("z")])
        for name, value in [
            ("limit", number(random.randrange(0, 4))), ("revision", number(random.randrange(-1, 12))),
            ("sort_order", random.choice(["NONE", "ASCEND", "DESCEND", 0, 1, 2])),
            ("sort_target", random.choice(["KEY", "VERSION", "CREATE", "MOD", "VALUE", 0, 4])),
            ("serializable", True), ("keys_only", True), ("count_only", True), ("min_mod_revision", number(3)),
            ("max_create_revision", number(5)), ("unknown", [{"a": None}]),
        ]:
            if random.random() < 0.15:
                body[field(name)] = value
        return body

    def delete() -> dict:
        body = {"key": key()}
        if random.random() < 0.3:
            body[field("range_end")] = key()
        if random.random() < 0.5:
            body[field("prev_kv")] = True
        return body

    def compare() -> dict:
        target, name, value = random.choice([
            ("VERSION", "version", number(random.randrange(3))), ("CREATE", "create_revision", number(random.randrange(9))),
            ("MOD", "mod_revision", number(random.randrange(9))), ("VALUE", "value", b64("x")), ("LEASE", "lease", number(0)),
        ])
        return {"key": key(), "target": target, "result": random.choice(["EQUAL", "GREATER", "LESS", "NOT_EQUAL", 0, 1]),
                field(name): value}

    def operation(depth: int) -> dict:
        kind = random.randrange(4 if depth < 2 else 3)
        name, body = [("request_put", put), ("request_range", get), ("request_delete_range", delete),
                      ("request_txn", lambda: txn(depth + 1))][kind]
        return {field(name): body()}

    def txn(depth: int = 0) -> dict:
        return {"compare": [compare() for _ in range(random.randrange(3))],
                "success": [operation(depth) for _ in range(random.randrange(3))],
                "failure": [operation(depth) for _ in range(random.randrange(3))]}

    return random.choice([("put", put), ("range", get), ("deleterange", delete), ("txn", txn), ("range", get)])


@pytest.mark.parametrize("seed", range(3))
def test_random_requests(pair, seed):
    generator = random.Random(seed)
    requests = []
    for _ in range(150):
        path, make = random_request(generator)
        requests.append((f"/v3/kv/{path}", json.dumps(make())))

    def script(g: Gateway) -> None:
        for path, body in requests:
            g.post(path, body)

    compare(pair, script)


def test_watches(pair):
    def script(g: Gateway) -> None:
        def watch(lines: int, *bodies) -> None:
            g.stream("/v3/watch", "\n".join(b if isinstance(b, str) else json.dumps(b) for b in bodies), lines)

        for key in "abc":
            g.post("/v3/kv/put", {"key": b64(key), "value": b64("1")})
        g.post("/v3/kv/put", {"key": b64("a"), "value": b64("2")})
        g.post("/v3/kv/deleterange", {"key": b64("b")})
        every = {"key": b64("a"), "range_end": b64("z"), "start_revision": "2"}
        watch(2, {"create_request": every})
        watch(2, {"createRequest": {**every, "prevKv": True, "watchId": "5"}})
        watch(2, {"create_request": {**every, "filters": ["NOPUT"]}})
        watch(1, {"create_request": {**every, "filters": ["NODELETE", 0, 9]}})
        watch(2, {"create_request": {**every, "filters": [1]}})
        watch(2, {"create_request": {"key": b64("a")}}, {"progress_request": {}})
        watch(2, {"create_request": {"key": b64("x"), "watch_id": "5"}},
              {"create_request": {"key": b64("y"), "watch_id": 5}})
        watch(3, {"create_request": {"key": b64("x"), "watch_id": "5"}}, {"cancel_request": {"watch_id": "5"}},
              {"progress_request": {}})
        watch(1, {"progress_request": {}})
        watch(1, {"create_request": {**every, "filters": ["X"]}})
        watch(1, "x")
        watch(1, '{"create_request":5}')
        g.post("/v3/kv/compaction", {"revision": "5"})
        watch(2, {"create_request": every})
        # What cannot be read later on ends the requests, not the stream.
        watch(2, {"create_request": {"key": b64("a"), "start_revision": "5"}}, "x")

    compare(pair, script)


def test_deadlines(pair):
    def script(g: Gateway) -> None:
        g.post("/v3/kv/range", {"key": b64("a")}, Grpc_Timeout="5S")
        for text in ("1x", "S", "x", "-", "1"):
            g.post("/v3/kv/range", {"key": b64("a")}, Grpc_Timeout=text)

    def watch(member) -> None:
        answer = Gateway(member).stream("/v3/watch", {"create_request": {"key": b64("a")}}, 2, Grpc_Timeout="500m")
        # 3.4 says now and then that it does not know why (2).
        assert json.loads(answer[1])["error"]["grpc_code"] in ((2, 4) if member.is_genuine else (4,))

    pair.both(watch)

    def ends(text: str) -> str:
        # Ours ends every object with a line end, as etcd does since 3.6.
        return text.rstrip("\n")

    def run(member) -> list[str]:
        gateway = Gateway(member)
        script(gateway)
        return [ends(text) for text in gateway.transcript]

    genuine, ours = pair.both(run)
    assert_equal_transcripts(genuine, ours)


def test_paths_and_methods(pair):
    def script(g: Gateway) -> None:
        for path in ("/v3/kv/range", "/v3/nope", "/v3/", "/v3/kv/range/", "/v3beta/nope", "/v3alpha/kv/range", "/nope", "/"):
            for method in ("GET", "PUT", "DELETE", "HEAD", "OPTIONS"):
                g.ask(method, path, None, "X-Content-Type-Options")
            g.ask("POST", path, "{}", "X-Content-Type-Options")
        for path in ("/v3", "//v3/kv/range", "/v3/./kv/range", "/v3/x/../kv/range?a=b", "/v3/.."):
            g.ask("GET", path, None, "Location")
            g.ask("POST", path, "{}", "Location")
        for path in ("/version", "/health", "/config/local/log", "/debug/vars"):
            for method in ("POST", "DELETE", "HEAD"):
                g.ask(method, path, None, "Allow", "X-Content-Type-Options")
        g.ask("PUT", "/config/local/log", '{"Level":"INFO"}')
        g.ask("PUT", "/config/local/log", '{"Level":"nope"}')
        g.ask("PUT", "/config/local/log", "x")

    compare(pair, script)


ACCESS = ("Access-Control-Allow-Origin", "Access-Control-Allow-Methods", "Access-Control-Allow-Headers")


def test_origins(pair_with):
    pair = pair_with("--cors", "http://a.example:80,https://b.example:443")

    def script(g: Gateway) -> None:
        for origin in ("http://a.example:80", "https://b.example:443", "http://a.example", "http://evil.example", "*"):
            g.ask("OPTIONS", "/v3/kv/range", None, *ACCESS, Origin=origin)
            g.ask("POST", "/v3/kv/range", '{"key":"Zm9v"}', *ACCESS, Origin=origin)
            g.ask("GET", "/nope", None, *ACCESS, Origin=origin)
        g.ask("OPTIONS", "/nope", None, *ACCESS)

    compare(pair, script)


def test_any_origin(pair):
    def script(g: Gateway) -> None:
        g.ask("OPTIONS", "/v3/kv/range", None, *ACCESS, Origin="http://any.example")
        g.ask("POST", "/v3/kv/range", '{"key":"Zm9v"}', *ACCESS)

    compare(pair, script)


def test_hosts(pair_with):
    """A page that has its name point at the member gets nothing (CVE-2018-5702)."""
    pair = pair_with("--host-whitelist", "a.example,127.0.0.1")

    def script(g: Gateway) -> None:
        for host in ("a.example", "a.example:1234", "evil.example", "evil.example:2379", "127.0.0.1:9", "[::1]:2379", ""):
            g.ask("POST", "/v3/kv/range", '{"key":"Zm9v"}', *ACCESS, Host=host)
            g.ask("GET", "/nope", None, *ACCESS, Host=host)

    compare(pair, script)


def test_without_gateway(pair_with):
    pair = pair_with("--enable-grpc-gateway=false")

    def script(g: Gateway) -> None:
        for path in ("/v3/kv/range", "/v3", "/v3beta/kv/range"):
            g.ask("POST", path, '{"key":"Zm9v"}')
            g.ask("GET", path)

    compare(pair, script)


def test_websockets(pair):
    def script(g: Gateway) -> None:
        g.post("/v3/kv/put", {"key": b64("w"), "value": b64("1")})
        socket = WebSocket(g.member, "/v3/watch")
        g.note("upgrade", f"{socket.status} {socket.headers.get('sec-websocket-accept')}")
        create = {"create_request": {"key": b64("w"), "start_revision": "2"}}
        socket.send(json.dumps(create))
        g.note("watch", f"{socket.receive()} {socket.receive()}")
        g.post("/v3/kv/put", {"key": b64("w"), "value": b64("2")})
        g.note("event", str(socket.receive()))
        # A message in fragments, as bytes; white space between values.
        text = json.dumps({"create_request": {"key": b64("w"), "watch_id": "9"}}).encode()
        socket.send(text[:10], opcode=2, fin=False)
        socket.send(text[10:] + b" \n ", opcode=0)
        g.note("second watch", str(socket.receive()))
        socket.send("ping", opcode=9)
        g.note("pong", str(socket.receive()))
        socket.close()
        lease = WebSocket(g.member, "/v3/lease/keepalive")
        for number in range(3):
            lease.send(json.dumps({"ID": str(number + 1)}))
            g.note("keepalive", str(lease.receive()))
        lease.close()
        # Methods that are no streams answer once, and then the socket is gone.
        once = WebSocket(g.member, "/v3beta/kv/range")
        once.send('{"key":"dw=="}')
        g.note("range", f"{once.receive()}")
        once.close()
        # A socket is closed with the code that its client closes it with, unless that is none.
        for code in (b"", b"\x03\xe8bye", b"\x03\xe7", b"\x03\xed", b"\x0b\xb8"):
            left = WebSocket(g.member, "/v3/watch")
            left.send(code, opcode=8)
            opcode, reason = left.receive()
            g.note(f"close {code}", f"{opcode} {reason[:2]}")
            left.close()
        refused = WebSocket(g.member, "/v3/watch")
        refused.send("x")
        g.note("no JSON", f"{refused.receive()}")
        refused.close()
        token = WebSocket(g.member, "/v3/watch", "Sec-WebSocket-Protocol: Bearer, some.token")
        g.note("subprotocol", f"{token.status} {token.headers.get('sec-websocket-protocol')}")
        token.close()

    compare(pair, script)


def test_a_token_by_websocket(pair):
    """A browser sends its token as a subprotocol or a cookie; etcd 3.4 did not know what it made of them."""

    def script(g: Gateway) -> None:
        g.post("/v3/auth/user/add", {"name": "root", "password": "p"})
        g.post("/v3/auth/role/add", {"name": "root"})
        g.post("/v3/auth/user/grant", {"user": "root", "role": "root"})
        g.post("/v3/auth/enable")
        token = json.loads(g.post("/v3/auth/authenticate", {"name": "root", "password": "p"}))["token"]
        for field in (f"Sec-WebSocket-Protocol: Bearer, {token}", f"Cookie: a=b; token={token}", "Cookie: token=wrong", "A: b"):
            socket = WebSocket(g.member, "/v3/watch", field)
            socket.send(json.dumps({"create_request": {"key": b64("a")}}))
            answer = json.loads(socket.receive()[1])["result"]
            socket.close()
            if g.member.is_genuine or "wrong" in field or field == "A: b":
                assert answer["canceled"]
            else:
                assert answer["created"] and "canceled" not in answer, field

    pair.both(lambda member: script(Gateway(member)))
