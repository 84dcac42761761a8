"""TLS between members, ours and Go's."""

from pathlib import Path

import pytest

from harness.certificates import Authority
from harness.cluster import GO, OURS
from harness.secure import SecureCluster, ask, context
from harness.waiting import wait_until
from test_mixed_clusters import SNAPSHOTS, snapshots
from test_snapshots import MISSED, put_many


@pytest.fixture
def authority(directory: Path) -> Authority:
    return Authority(directory / "certificates")


@pytest.fixture
def secure_cluster(directory: Path):
    """Makes started clusters whose members talk over TLS."""
    made: list[SecureCluster] = []

    def make(*kinds: str, identities, start: bool = True, **options) -> SecureCluster:
        cluster = SecureCluster(directory / f"cluster-{len(made)}", kinds, identities, **options)
        made.append(cluster)
        return cluster.start() if start else cluster

    yield make
    for cluster in made:
        cluster.close()


def mutual(authority: Authority) -> dict[str, object]:
    return {"peer-client-cert-auth": True, "peer-trusted-ca-file": authority.cert_file}


def test_mixed_members_lose_a_leader_and_catch_up(secure_cluster, authority):
    """Writes, a leader that is killed, and a leader's snapshot, with certificates on both sides of every connection."""
    cluster = secure_cluster(
        OURS, GO, OURS, identities=lambda number: authority.issue(f"infra{number + 1}"), **mutual(authority), **SNAPSHOTS)
    for leading, behind in ((0, 1), (1, 2)):
        leader, late = cluster.members[leading], cluster.members[behind]
        cluster.move_leader(leader)
        before = snapshots(late)
        late.kill()
        put_many(leader, MISSED)
        late.start()
        cluster.wait_applied(cluster.revision())
        received = [index for index in snapshots(late) if index not in before]
        assert received, f"{late} got no snapshot of {leader}"
    leader = cluster.leader()
    leader.kill()
    survivor = cluster.leader()
    survivor.put("after", "failover")
    leader.start()
    cluster.assert_equal_hashes()
    # A stranger gets nowhere, with a certificate of nobody's or with none.
    stranger = Authority(authority.directory, "stranger").issue("stranger")
    known = authority.issue("someone")
    for member in cluster.members:
        assert ask(member.peer_port, context(authority, known), "/members") == 200
        assert ask(member.peer_port, context(authority, stranger), "/members") is None
        assert ask(member.peer_port, context(authority), "/members") is None
        assert ask(member.peer_port, None, "/members") != 200
    ours = cluster.of_kind(OURS)[0]
    wait_until(lambda: "rejected connection on peer endpoint" in ours.log(), "the log to name the strangers")


@pytest.mark.parametrize("kinds", ((OURS, OURS, OURS), (GO, OURS, OURS), (OURS, GO, GO)), ids=lambda kinds: "-".join(kinds))
def test_members_with_certificates_of_their_own_making(secure_cluster, kinds):
    cluster = secure_cluster(*kinds, identities=lambda number: None, peer_auto_tls=True)
    cluster.leader().put("a", "1")
    assert [member.get("a") for member in cluster.members] == ["1"] * 3
    for member in cluster.members:
        assert (member.data_dir / "fixtures" / "peer" / "cert.pem").exists()


@pytest.mark.parametrize("server", (GO, OURS))
def test_whose_connections_a_member_takes(secure_cluster, authority, server):
    """By the common name, by the address in the certificate, and by the list of revoked ones."""
    revoked = authority.issue("member")
    crl = authority.directory / "crl"
    crl.write_bytes(authority.revocations(revoked))
    cluster = secure_cluster(
        server, identities=lambda number: authority.issue("member"), **mutual(authority),
        **{"peer-cert-allowed-cn": "member", "peer-crl-file": str(crl)})
    port = cluster.members[0].peer_port
    shown = {
        "good": (authority.issue("member"), True),
        "without names": (authority.issue("member", hosts=()), True),
        "another name": (authority.issue("other"), False),
        "another address": (authority.issue("member", hosts=("10.9.8.7",)), False),
        "a name that leads here": (authority.issue("member", hosts=("localhost",)), True),
        "a name that leads nowhere": (authority.issue("member", hosts=("nowhere.invalid",)), False),
        "another address, and a name that leads here": (authority.issue("member", hosts=("10.9.8.7", "localhost")), True),
        "revoked": (revoked, False),
    }
    taken = {name: ask(port, context(authority, one), "/members") == 200 for name, (one, _) in shown.items()}
    assert taken == {name: wanted for name, (_, wanted) in shown.items()}


@pytest.mark.parametrize("server", (GO, OURS))
def test_members_of_allowed_hosts_are_taken(secure_cluster, authority, server):
    good = authority.issue("member", hosts=("127.0.0.1", "member.example"))
    cluster = secure_cluster(
        server, identities=lambda number: good, **mutual(authority), **{"peer-cert-allowed-hostname": "member.example"})
    port = cluster.members[0].peer_port
    shown = (good, authority.issue("member.example"), authority.issue("member", hosts=("127.0.0.1", "other.example")))
    assert [ask(port, context(authority, one), "/members") == 200 for one in shown] == [True, False, False]


@pytest.mark.parametrize("kind, flag", (
    (GO, "experimental-peer-skip-client-san-verification"), (OURS, "experimental-peer-skip-client-san-verification"),
    (OURS, "peer-skip-client-san-verification")))
def test_the_address_check_can_be_switched_off(secure_cluster, authority, kind, flag):
    cluster = secure_cluster(
        kind, identities=lambda number: authority.issue("member"), **mutual(authority), **{flag: True})
    elsewhere = authority.issue("member", hosts=("10.9.8.7",))
    assert ask(cluster.members[0].peer_port, context(authority, elsewhere), "/members") == 200


@pytest.mark.ours_only
def test_a_member_shows_another_certificate_when_it_dials(secure_cluster, authority):
    """A server's certificate need not be one for clients when there is another one for those."""
    dialling = authority.issue("dialling", server=False)
    cluster = secure_cluster(
        OURS, OURS, identities=lambda number: authority.issue("listening", client=False), **mutual(authority),
        **{"peer-client-cert-file": dialling.cert_file, "peer-client-key-file": dialling.key_file})
    cluster.leader().put("a", "1")
    assert [member.get("a") for member in cluster.members] == ["1"] * 2
