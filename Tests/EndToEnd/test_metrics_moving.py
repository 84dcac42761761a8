"""Metrics that only move in a cluster, in time, or in trouble: each is driven until it does, on genuine etcd too where it can."""

import http.client
import os
import signal
import socket
import struct
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from harness import metrics, settings
from harness.api import Calls, Failure, api
from harness.cluster import GO, OURS, ClusterMember
from harness.member import Member
from harness.waiting import halt, wait_until
from test_metrics import ROOT, url
from test_mixed_clusters import SNAPSHOTS, write_much

BOTH = pytest.mark.parametrize("binary", (settings.GENUINE, settings.UNDER_TEST), ids=("genuine", "ours"))


def scrape(member: Member) -> dict[str, metrics.Metric]:
    return metrics.scrape(url(member))


def series(metric: metrics.Metric | None, suffix: str = "") -> dict[tuple, float]:
    """The values of the series that have any, by their labels."""
    if metric is None:
        return {}
    return {
        labels: value for (name, labels), value in metric.samples.items() if name == metric.name + suffix and value}


def status_of(member: Member, path: str, method: str = "GET", data: bytes | None = None) -> int:
    request = urllib.request.Request(f"{url(member)}{path}", data=data, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            answer.read()
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


# ---- What etcd documents

# The metrics of etcd 3.6's documentation (etcd-metrics-latest.txt) with their types and labels, and those that 3.7 added.
# Those of Go's runtime and of the gRPC proxy are left out.
GRPC = "grpc_method grpc_service grpc_type"
DOCUMENTED = {
    "counter": {
        "etcd_debugging_lease_granted_total": "", "etcd_debugging_lease_renewed_total": "",
        "etcd_debugging_lease_revoked_total": "", "etcd_debugging_mvcc_db_compaction_keys_total": "",
        "etcd_debugging_mvcc_events_total": "", "etcd_debugging_server_lease_expired_total": "",
        "etcd_debugging_store_expires_total": "", "etcd_debugging_store_reads_total": "action",
        "etcd_debugging_store_watch_requests_total": "", "etcd_debugging_store_writes_total": "action",
        "etcd_mvcc_delete_total": "", "etcd_mvcc_put_total": "", "etcd_mvcc_range_total": "", "etcd_mvcc_txn_total": "",
        "etcd_network_client_grpc_received_bytes_total": "", "etcd_network_client_grpc_sent_bytes_total": "",
        "etcd_network_peer_received_bytes_total": "From", "etcd_network_peer_sent_bytes_total": "To",
        "etcd_server_client_requests_total": "client_api_version type", "etcd_server_health_failures": "",
        "etcd_server_health_success": "", "etcd_server_heartbeat_send_failures_total": "",
        "etcd_server_leader_changes_seen_total": "", "etcd_server_learner_promote_successes": "",
        "etcd_server_proposals_failed_total": "", "etcd_server_read_indexes_failed_total": "",
        "etcd_server_slow_apply_total": "", "etcd_server_slow_read_indexes_total": "",
        "grpc_server_handled_total": f"grpc_code {GRPC}", "grpc_server_msg_received_total": GRPC,
        "grpc_server_msg_sent_total": GRPC, "grpc_server_started_total": GRPC, "process_cpu_seconds_total": "",
        "process_network_receive_bytes_total": "", "process_network_transmit_bytes_total": "",
        "promhttp_metric_handler_requests_total": "code",
    },
    "gauge": {
        "etcd_cluster_version": "cluster_version", "etcd_debugging_auth_revision": "",
        "etcd_debugging_mvcc_compact_revision": "", "etcd_debugging_mvcc_current_revision": "",
        "etcd_debugging_mvcc_db_compaction_last": "", "etcd_debugging_mvcc_keys_total": "",
        "etcd_debugging_mvcc_pending_events_total": "", "etcd_debugging_mvcc_slow_watcher_total": "",
        "etcd_debugging_mvcc_total_put_size_in_bytes": "", "etcd_debugging_mvcc_watch_stream_total": "",
        "etcd_debugging_mvcc_watcher_total": "", "etcd_debugging_store_watchers": "", "etcd_disk_defrag_inflight": "",
        "etcd_disk_wal_write_bytes_total": "", "etcd_mvcc_db_open_read_transactions": "",
        "etcd_mvcc_db_total_size_in_bytes": "", "etcd_mvcc_db_total_size_in_use_in_bytes": "",
        "etcd_network_active_peers": "Local Remote", "etcd_network_known_peers": "Local Remote",
        "etcd_server_feature_enabled": "name stage", "etcd_server_has_leader": "", "etcd_server_id": "server_id",
        "etcd_server_is_leader": "", "etcd_server_is_learner": "", "etcd_server_proposals_applied_total": "",
        "etcd_server_proposals_committed_total": "", "etcd_server_proposals_pending": "",
        "etcd_server_quota_backend_bytes": "", "etcd_server_snapshot_apply_in_progress_total": "",
        "etcd_server_version": "server_version", "os_fd_limit": "", "os_fd_used": "", "process_max_fds": "",
        "process_open_fds": "", "process_resident_memory_bytes": "", "process_start_time_seconds": "",
        "process_virtual_memory_bytes": "", "process_virtual_memory_max_bytes": "",
        "promhttp_metric_handler_requests_in_flight": "",
    },
    "histogram": {
        "etcd_debugging_lease_ttl_total": "", "etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds": "",
        "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds": "",
        "etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds": "",
        "etcd_debugging_server_watch_send_loop_control_stream_duration_seconds": "",
        "etcd_debugging_server_watch_send_loop_progress_duration_seconds": "",
        "etcd_debugging_server_watch_send_loop_watch_stream_duration_per_event_seconds": "",
        "etcd_debugging_server_watch_send_loop_watch_stream_duration_seconds": "",
        "etcd_debugging_snap_save_marshalling_duration_seconds": "",
        "etcd_debugging_snap_save_total_duration_seconds": "", "etcd_disk_backend_commit_duration_seconds": "",
        "etcd_disk_backend_defrag_duration_seconds": "", "etcd_disk_backend_snapshot_duration_seconds": "",
        "etcd_disk_wal_fsync_duration_seconds": "", "etcd_disk_wal_write_duration_seconds": "",
        "etcd_mvcc_hash_duration_seconds": "", "etcd_mvcc_hash_rev_duration_seconds": "",
        "etcd_network_peer_round_trip_time_seconds": "To", "etcd_server_apply_duration_seconds": "op success version",
        "etcd_server_range_duration_seconds": "success", "etcd_server_request_duration_seconds": "success type",
        "etcd_snap_db_fsync_duration_seconds": "", "etcd_snap_db_save_total_duration_seconds": "",
        "etcd_snap_fsync_duration_seconds": "", "grpc_server_handling_seconds": GRPC,
    },
}

# What etcd's own dashboard and alert rules ask for (contrib/mixin of 3.4 to 3.7, Documentation's grafana.json of 3.4).
MIXIN = """
    etcd_disk_backend_commit_duration_seconds_bucket etcd_disk_wal_fsync_duration_seconds_bucket
    etcd_http_failed_total etcd_http_received_total etcd_http_successful_duration_seconds_bucket
    etcd_debugging_mvcc_db_total_size_in_bytes etcd_mvcc_db_total_size_in_bytes etcd_mvcc_db_total_size_in_use_in_bytes
    etcd_network_client_grpc_received_bytes_total etcd_network_client_grpc_sent_bytes_total
    etcd_network_peer_received_bytes_total etcd_network_peer_round_trip_time_seconds_bucket
    etcd_network_peer_sent_bytes_total etcd_network_peer_sent_failures_total
    etcd_server_has_leader etcd_server_leader_changes_seen_total etcd_server_proposals_applied_total
    etcd_server_proposals_committed_total etcd_server_proposals_failed_total etcd_server_proposals_pending
    etcd_server_quota_backend_bytes etcd_server_version
    grpc_server_handled_total grpc_server_handling_seconds_bucket grpc_server_handling_seconds_count
    grpc_server_msg_received_total grpc_server_started_total process_resident_memory_bytes
""".split()


@pytest.mark.ours_only
def test_all_metrics_that_etcd_documents_are_there_with_their_types_and_labels(cluster_with):
    cluster = cluster_with(OURS, OURS, metrics="extensive", enable_v2=True)
    member = cluster.leader()
    member.put("k", "v")
    member.ask("KV.Range", key=b"k")
    assert status_of(member, "/v2/keys/a", "PUT", b"value=1") == 201
    assert status_of(member, "/v2/keys/a") == 200
    assert status_of(member, "/v2/keys/none") == 404
    wait_until(lambda: scrape(member)["etcd_network_peer_round_trip_time_seconds"].count > 0, "a round trip")
    scraped = scrape(member)
    missing = [
        f"{name} ({kind})" for kind, names in DOCUMENTED.items() for name in names
        if name not in scraped or scraped[name].kind != kind]
    assert not missing
    labels = {
        name: (wanted, scraped[name].label_names - {"le"})
        for names in DOCUMENTED.values() for name, wanted in names.items()}
    assert not {name: both for name, both in labels.items() if set(both[0].split()) != both[1]}
    samples = {name for metric in scraped.values() for name, _ in metric.samples}
    assert not set(MIXIN) - samples
    # The labels that the queries choose by.
    handled = scraped["grpc_server_handled_total"]
    assert handled.value(grpc_service="etcdserverpb.KV", grpc_method="Put", grpc_type="unary", grpc_code="OK") >= 1
    started = scraped["grpc_server_started_total"]
    assert ("grpc_server_started_total", (
        ("grpc_method", "Watch"), ("grpc_service", "etcdserverpb.Watch"), ("grpc_type", "bidi_stream"))) in started.samples


@pytest.mark.ours_only
def test_times_of_calls_are_there_only_with_extensive_metrics(member_with):
    for flags, expected in ((("--metrics=basic",), False), (("--metrics=extensive",), True)):
        member = member_with(None, *flags).start()
        calls = Calls(member)
        calls.put("k", "v")
        calls.close()
        metric = scrape(member).get("grpc_server_handling_seconds")
        assert (metric is not None) == expected
        if metric:
            count = {dict(labels)["grpc_method"]: value for labels, value in series(metric, "_count").items()}
            assert count == {"Put": 1}


# ---- One member

@BOTH
def test_what_a_member_is_and_holds(member_with, binary):
    """Who it is, of which version, how far it is and how large: as its status says."""
    member = member_with(binary).start()
    calls = Calls(member)
    status = calls.quiet("Maintenance.Status")
    first = scrape(member)
    assert first["etcd_server_id"].value(server_id=f"{status.header.member_id:x}") == 1
    assert first["etcd_server_version"].value(server_version=status.version) == 1
    wait_until(
        lambda: series(scrape(member)["etcd_cluster_version"]) == {(("cluster_version", status.version.rpartition(".")[0]),): 1},
        "the cluster's version")
    assert first["etcd_disk_defrag_inflight"].value() == 0
    for number in range(50):
        calls.put(f"k{number}", "v" * 10_000)

    def agree() -> bool:
        now, metric = calls.quiet("Maintenance.Status"), scrape(member)
        return (
            [metric[f"etcd_server_proposals_{name}_total"].value() for name in ("committed", "applied")]
            == [now.raftIndex, now.raftAppliedIndex]
            and metric["etcd_mvcc_db_total_size_in_bytes"].value() == now.dbSize > 500_000
            and metric["etcd_debugging_mvcc_db_total_size_in_bytes"].value() == now.dbSize
            and metric["etcd_mvcc_db_total_size_in_use_in_bytes"].value() == now.dbSizeInUse)

    wait_until(agree, "the status and the metrics to agree")
    before = scrape(member)["etcd_debugging_auth_revision"].value()
    calls.quiet("Auth.RoleAdd", name="r")
    assert scrape(member)["etcd_debugging_auth_revision"].value() == before + 1
    calls.close()


@BOTH
def test_health(member_with, binary):
    member = member_with(binary).start()
    calls = Calls(member)
    before = scrape(member)
    assert status_of(member, "/health") == 200
    calls.quiet("Maintenance.Alarm", action="ACTIVATE", memberID=1, alarm="NOSPACE")
    assert status_of(member, "/health") == 503
    assert status_of(member, "/health?exclude=NOSPACE") == 200
    after = scrape(member)
    calls.close()
    assert after["etcd_server_health_success"].value() - before["etcd_server_health_success"].value() == 2
    # 3.4 does not count what an alarm makes fail; later versions do.
    failures = after["etcd_server_health_failures"].value() - before["etcd_server_health_failures"].value()
    assert failures == (0 if member.is_genuine else 1)


@pytest.mark.ours_only
def test_checks_of_livez_and_readyz(member_with):
    member = member_with().start()
    calls = Calls(member)
    assert status_of(member, "/livez") == status_of(member, "/readyz") == 200
    checks = {
        ("livez", "serializable_read"), ("readyz", "data_corruption"), ("readyz", "serializable_read"),
        ("readyz", "linearizable_read"), ("readyz", "non_learner")}

    def results(name: str, **wanted: str) -> dict[tuple[str, str], float]:
        return {
            (dict(labels)["type"], dict(labels)["name"]): value for labels, value in series(scrape(member).get(name)).items()
            if wanted.items() <= dict(labels).items()}

    assert results("etcd_server_healthcheck") == {check: 1 for check in checks}
    assert results("etcd_server_healthchecks_total", status="success") == {check: 1 for check in checks}
    assert not results("etcd_server_healthchecks_total", status="error")
    calls.quiet("Maintenance.Alarm", action="ACTIVATE", memberID=1, alarm="CORRUPT")
    assert status_of(member, "/livez") == 200 and status_of(member, "/readyz") == 503
    calls.close()
    corruption = ("readyz", "data_corruption")
    assert results("etcd_server_healthchecks_total", status="error") == {corruption: 1}
    assert corruption not in results("etcd_server_healthcheck")


@BOTH
def test_leases_that_run_out(member_with, binary):
    member = member_with(binary).start()
    calls = Calls(member)
    calls.quiet("Lease.LeaseGrant", ID=1, TTL=1)
    calls.quiet("Lease.LeaseGrant", ID=2, TTL=600)
    wait_until(lambda: scrape(member)["etcd_debugging_server_lease_expired_total"].value() == 1, "the lease's end", 30)
    calls.close()


@BOTH
def test_streams_that_end_with_an_error(member_with, binary):
    """A message that is none ends a stream, and is counted by what the stream is for."""
    member = member_with(binary).start()
    calls = Calls(member)
    for path in ("/etcdserverpb.Watch/Watch", "/etcdserverpb.Lease/LeaseKeepAlive"):
        assert isinstance(calls.client.raw(path, b"\xff\xff\xff"), Failure)
    expected = {
        (("API", "watch"), ("Type", "receive")): 1, (("API", "lease-keepalive"), ("Type", "receive")): 1}
    wait_until(
        lambda: series(scrape(member).get("etcd_network_server_stream_failures_total")) == expected, "the failures")
    # One that its client gives up is no failure.
    watch = calls.watch()
    watch.created(key=b"k")
    watch.close()
    wait_until(lambda: scrape(member)["etcd_debugging_mvcc_watch_stream_total"].value() == 0, "the watch's end")
    assert series(scrape(member).get("etcd_network_server_stream_failures_total")) == expected
    calls.close()


@BOTH
def test_files_of_snapshots_are_timed(member_with, binary):
    member = member_with(binary, "--snapshot-count=20").start()
    calls = Calls(member)
    names = [
        "etcd_snap_fsync_duration_seconds", "etcd_debugging_snap_save_marshalling_duration_seconds",
        "etcd_debugging_snap_save_total_duration_seconds"]
    for number in range(60):
        calls.put(f"k{number}", "v")
    wait_until(lambda: all(scrape(member)[name].count >= 2 for name in names), "two snapshots")
    counts = {scrape(member)[name].count for name in names}
    assert len(counts) == 1
    calls.close()


@BOTH
def test_log_and_backend_are_timed(member_with, binary):
    member = member_with(binary).start()
    calls = Calls(member)
    before = scrape(member)
    for number in range(20):
        calls.put(f"k{number}", "v" * 100)
    wait_until(
        lambda: scrape(member)["etcd_disk_backend_commit_duration_seconds"].count
        > before["etcd_disk_backend_commit_duration_seconds"].count, "a commit")
    after = scrape(member)
    calls.close()
    # One who asks alone has each of its puts synchronised by itself.
    synced = after["etcd_disk_wal_fsync_duration_seconds"].count - before["etcd_disk_wal_fsync_duration_seconds"].count
    assert synced >= 20
    written = after["etcd_disk_wal_write_bytes_total"].value() - before["etcd_disk_wal_write_bytes_total"].value()
    assert 20 * 100 < written < 20 * 1000
    if not member.is_genuine:
        name = "etcd_disk_wal_write_duration_seconds"
        assert after[name].count - before[name].count >= 20


@BOTH
def test_bytes_of_clients(member_with, binary):
    member = member_with(binary).start()
    calls = Calls(member)
    names = ("etcd_network_client_grpc_received_bytes_total", "etcd_network_client_grpc_sent_bytes_total")
    before = [scrape(member)[name].value() for name in names]
    calls.put("key", "v" * 1000)
    calls.get("key")
    after = [scrape(member)[name].value() for name in names]
    calls.close()
    # Key and value with a tag and a length each; the key.
    assert after[0] - before[0] == 5 + 1003 + 5
    # Two headers, the pair, its revisions, version and count.
    assert 1000 < after[1] - before[1] < 1100


@BOTH
def test_what_the_system_knows_of_the_process(member_with, binary):
    member = member_with(binary).start()
    process = Path(f"/proc/{member.process.pid}")
    calls = Calls(member)
    calls.put("k", "v")
    scraped = scrape(member)
    calls.close()
    descriptors = len(list((process / "fd").iterdir()))
    assert abs(scraped["process_open_fds"].value() - descriptors) <= 5
    assert scraped["process_max_fds"].value() == scraped["os_fd_limit"].value() > 0
    if not member.is_genuine:
        # 3.4 looks every five minutes.
        assert abs(scraped["os_fd_used"].value() - descriptors) <= 5
    pages = [int(text) for text in (process / "statm").read_text().split()]
    size = os.sysconf("SC_PAGE_SIZE")
    assert 0.5 < scraped["process_resident_memory_bytes"].value() / (pages[1] * size) < 2
    assert 0.5 < scraped["process_virtual_memory_bytes"].value() / (pages[0] * size) < 2
    assert scraped["process_cpu_seconds_total"].value() > 0
    assert abs(scraped["process_start_time_seconds"].value() - time.time()) < 120
    assert scraped["process_virtual_memory_max_bytes"].value() > 1 << 40
    first = scraped["promhttp_metric_handler_requests_total"]
    assert scraped["promhttp_metric_handler_requests_in_flight"].value() == 1
    assert scrape(member)["promhttp_metric_handler_requests_total"].value(code="200") == first.value(code="200") + 1


@pytest.mark.ours_only
def test_the_time_of_each_request_by_its_kind(member_with):
    member = member_with(None, "--max-txn-ops=4", "--quota-backend-bytes=1000000").start()
    calls = Calls(member)
    for number in range(3):
        calls.put(f"k{number}", "v")
    calls.quiet("KV.Put", key=b"k", lease=77)
    calls.get("k1")
    calls.get("k1", serializable=True)
    calls.get("k", "l", sort_order="DESCEND")
    calls.get("k1", revision=1000)
    calls.quiet("KV.Txn", success=[{"request_range": {"key": b"k1"}}])
    calls.quiet("KV.Txn", success=[{"request_range": {"key": b"k1", "revision": 1000}}])
    calls.quiet("KV.Txn", success=[{"request_range": {"key": b"k", "range_end": b"l"}}])
    calls.quiet("KV.Txn", success=[{"request_put": {"key": b"t"}}])
    calls.delete("k2")
    calls.quiet("Lease.LeaseGrant", ID=7, TTL=600)
    calls.quiet("Lease.LeaseGrant", ID=7, TTL=600)
    calls.quiet("Lease.LeaseRevoke", ID=7)
    calls.quiet("KV.Compact", revision=3)
    calls.quiet("Auth.UserAdd", name="user", password="password")
    # What is refused for space is a request too; what is not understood is none.
    while not isinstance(calls.client.call("KV.Put", key=b"large", value=b"v" * 100_000), Failure):
        pass
    calls.quiet("KV.Range", key=b"")
    calls.close()
    expected = {
        ("Put", "false"): 2, ("Range", "true"): 3, ("Range", "false"): 1, ("ReadonlyTxn", "true"): 2,
        ("ReadonlyTxn", "false"): 1, ("Txn", "true"): 1, ("DeleteRange", "true"): 1, ("LeaseGrant", "true"): 1,
        ("LeaseGrant", "false"): 1, ("LeaseRevoke", "true"): 1, ("Compaction", "true"): 1, ("AuthUserAdd", "true"): 1,
    }
    counted: dict = {}

    def all_are_noted() -> bool:
        metric = scrape(member)["etcd_server_request_duration_seconds"]
        counted.clear()
        counted.update({
            (dict(labels)["type"], dict(labels)["success"]): value for labels, value in series(metric, "_count").items()})
        assert counted.pop(("Put", "true")) > 3
        counted.pop(("Alarm", "true"), None)
        return counted == expected

    try:
        wait_until(all_are_noted, "all requests", 10)
    except TimeoutError:
        assert counted == expected


@BOTH
def test_clients_by_their_version(member_with, binary):
    member = member_with(binary).start()
    calls = Calls(member)
    message = api().messages.RangeRequest(key=b"k")
    said = ["3.4", "3.4", "3.7"] + ([] if member.is_genuine else [f"made up {number}" for number in range(40)])
    for version in said:
        calls.client.method("KV.Range")(message, timeout=30, metadata=[("client-api-version", version)])
    calls.client.method("KV.Range")(message, timeout=30)
    creation = api().messages.WatchRequest(create_request={"key": b"k"})
    watch = calls.client.method("Watch.Watch")(iter([creation]), timeout=30, metadata=[("client-api-version", "3.4")])
    assert next(watch).created
    watch.cancel()
    calls.close()
    counted = {
        (dict(labels)["type"], dict(labels)["client_api_version"]): value
        for labels, value in series(scrape(member)["etcd_server_client_requests_total"]).items()}
    assert counted["unary", "3.4"] == 2 and counted["unary", "3.7"] == 1 and counted["stream", "3.4"] == 1
    assert counted["unary", "unknown"] >= 1
    if not member.is_genuine:
        # Clients choose what they say, so there is an end to the series.
        assert counted["unary", "other"] == 10
        assert sum(name.startswith("made up") for _, name in counted) == 30


@BOTH
def test_the_version_2_api(member_with, binary):
    member = member_with(binary, "--enable-v2=true").start()
    keys = "/v2/keys"
    for path, method, data, status in (
        ("/a", "PUT", b"value=1", 201), ("/a", "GET", None, 200), ("/none", "GET", None, 404),
        ("/?recursive=true", "GET", None, 200), ("/a?quorum=true", "GET", None, 200),
        ("/a", "PUT", b"value=2&prevExist=true", 200), ("/a", "PUT", b"value=2&prevValue=9", 412),
        ("/a", "PUT", b"value=3&prevValue=2", 200), ("/b", "POST", b"value=3", 201), ("/a?prevValue=3", "DELETE", None, 200),
        ("/a", "DELETE", None, 404), ("/c", "PUT", b"value=1&ttl=1", 201), ("/a", "HEAD", None, 404),
    ):
        assert status_of(member, keys + path, method, data) == status, (path, method, data)
    connection = http.client.HTTPConnection(member.endpoint, timeout=30)
    connection.request("GET", f"{keys}/waited?wait=true")
    wait_until(lambda: scrape(member)["etcd_debugging_store_watchers"].value() == 1, "the watcher")
    scraped = scrape(member)
    received = {dict(labels)["method"]: value for labels, value in series(scraped["etcd_http_received_total"]).items()}
    assert received == {"PUT": 5, "GET": 3, "QGET": 1, "POST": 1, "DELETE": 2, "HEAD": 1}
    failed = {tuple(dict(labels).values()): value for labels, value in series(scraped["etcd_http_failed_total"]).items()}
    assert failed == {("412", "PUT"): 1, ("404", "GET"): 1, ("404", "DELETE"): 1, ("404", "HEAD"): 1}
    metric = scraped["etcd_http_successful_duration_seconds"]
    times = {dict(labels)["method"]: value for labels, value in series(metric, "_count").items()}
    assert times == {"PUT": 4, "GET": 2, "QGET": 1, "POST": 1, "DELETE": 1}
    assert metric.bounds[0] == "0.0005" and metric.bounds[-2:] == ["2.048", "+Inf"]
    assert scraped["etcd_debugging_store_watch_requests_total"].value() == 1
    assert status_of(member, f"{keys}/waited", "PUT", b"value=1") == 201
    assert connection.getresponse().status == 200
    connection.close()
    wait_until(
        lambda: scrape(member)["etcd_debugging_store_expires_total"].value() == 1
        and scrape(member)["etcd_debugging_store_watchers"].value() == 0, "the key's end", 30)
    reads, writes = (
        {dict(labels)["action"]: value for labels, value in series(scraped[f"etcd_debugging_store_{what}_total"]).items()}
        for what in ("reads", "writes"))
    assert reads["getRecursive"] >= 1 and reads["get"] >= 4
    for action, count in (("set", 2), ("update", 1), ("compareAndSwap", 2), ("create", 1), ("delete", 1)):
        assert writes[action] >= count, action
    assert writes["compareAndDelete"] == 1


# ---- A cluster

PAIRS = pytest.mark.parametrize(
    "leading, behind", ((OURS, OURS), (GO, OURS), (OURS, GO)), ids=("ours", "Go's to ours", "ours to Go's"))


@PAIRS
def test_a_snapshot_on_its_way(cluster_with, leading, behind):
    """What sender and receiver count, alike on both sides of a mixed pair."""
    cluster = cluster_with(leading, leading, behind, **SNAPSHOTS)
    cluster.move_leader(cluster.members[0])
    leader, follower = cluster.members[0], cluster.members[2]
    to, sender = f"{follower.id:x}", f"{leader.id:x}"
    follower.kill()
    write_much(leader, "missed")
    follower.start()
    cluster.wait_applied(cluster.revision())
    name = "etcd_network_snapshot"

    def moved() -> bool:
        sent, received = scrape(leader), scrape(follower)
        return (
            sent[f"{name}_send_success"].value(To=to) >= 1
            and series(sent[f"{name}_send_total_duration_seconds"], "_count").get((("To", to),), 0) >= 1
            and received[f"{name}_receive_success"].value(From=sender) >= 1
            and series(received[f"{name}_receive_total_duration_seconds"], "_count").get((("From", sender),), 0) >= 1
            and received["etcd_snap_db_fsync_duration_seconds"].count >= 1
            and received["etcd_snap_db_save_total_duration_seconds"].count >= 1)

    wait_until(moved, "the snapshot's numbers")
    sent, received = scrape(leader), scrape(follower)
    for metric in (sent[f"{name}_send_inflights_total"], received[f"{name}_receive_inflights_total"]):
        assert not series(metric) and metric.kind == "gauge"
    assert received["etcd_server_snapshot_apply_in_progress_total"].value() == 0
    assert follower.kind == GO or received["etcd_server_proposals_applied_total"].value() > 0


def raft_snapshot(receiver: int, sender: int, term: int, index: int) -> bytes:
    """A raftpb.Message of kind MsgSnap behind its length, as it is posted; the database follows."""

    def varint(value: int) -> bytes:
        text = b""
        while value >= 0x80:
            text, value = text + bytes([value & 0x7F | 0x80]), value >> 7
        return text + bytes([value])

    def number(field: int, value: int) -> bytes:
        return varint(field << 3) + varint(value)

    def inner(field: int, value: bytes) -> bytes:
        return varint(field << 3 | 2) + varint(len(value)) + value

    metadata = inner(1, number(1, receiver)) + number(2, index) + number(3, term)
    message = number(1, 7) + number(2, receiver) + number(3, sender) + number(4, term) + inner(9, inner(2, metadata))
    return struct.pack(">Q", len(message)) + message


@pytest.mark.parametrize("kind", (GO, OURS))
def test_what_comes_damaged_from_other_members(cluster_with, kind):
    cluster = cluster_with(kind, kind)
    receiver, sender = cluster.members
    answer = receiver.ask("Maintenance.Status")
    head = (
        f"Host: x\r\nX-Etcd-Cluster-ID: {answer.header.cluster_id:x}\r\nX-Server-From: {sender.id:x}\r\n"
        "X-Server-Version: 3.4.23\r\nX-Min-Cluster-Version: 3.0.0\r\nContent-Length: {}\r\n\r\n")

    def post(path: str, body: bytes, length: int) -> bytes:
        with socket.create_connection(("127.0.0.1", receiver.peer_port), timeout=30) as connection:
            connection.sendall(f"POST {path} HTTP/1.1\r\n{head.format(length)}".encode() + body)
            connection.shutdown(socket.SHUT_WR)
            return connection.recv(1 << 16)

    # A message that does not decode.
    assert b" 400 " in post("/raft", b"\xff\xff\xff", 3)
    # A database that ends before its length.
    body = raft_snapshot(receiver.id, sender.id, answer.raftTerm, answer.raftIndex + 1000) + b"database"
    post("/raft/snapshot", body, len(body) + 1000)
    wait_until(
        lambda: series(scrape(receiver).get("etcd_network_snapshot_receive_failures"))
        == {(("From", f"{sender.id:x}"),): 1}, "the failed snapshot")
    failed = series(scrape(receiver).get("etcd_network_peer_received_failures_total"))
    assert sum(failed.values()) >= 1
    assert {name for labels in failed for name, _ in labels} == {"From"}
    if kind == OURS:
        # Genuine etcd has the address and port of the connection here, a series for each.
        assert set(failed) == {(("From", f"{sender.id:x}"),)}
    assert not series(scrape(receiver).get("etcd_network_snapshot_receive_inflights_total"))


@pytest.mark.parametrize("kind", (GO, OURS))
def test_promotions_of_learners(cluster_with, kind):
    cluster = cluster_with(kind, kind)
    leader = cluster.leader()
    assert scrape(leader)["etcd_server_is_learner"].value() == 0
    learner = cluster.add(kind, learner=True, start=False)
    (identity,) = (member.ID for member in cluster.listed() if member.isLearner)
    refused = leader.call("Cluster.MemberPromote", ID=identity)
    assert isinstance(refused, Failure) and "in sync" in refused.details
    failures = {(("Reason", "etcdserver: can only promote a learner member which is in sync with leader"),): 1}
    assert series(scrape(leader)["etcd_server_learner_promote_failures"]) == failures
    learner.launch()
    wait_until(
        lambda: not isinstance(cluster.leader().call("Cluster.MemberPromote", ID=identity), Failure),
        "the promotion", 40, interval=0.25)
    scraped = scrape(leader)
    assert scraped["etcd_server_learner_promote_successes"].value() == 1
    # Each time that the learner was not there yet.
    (count,) = series(scraped["etcd_server_learner_promote_failures"]).values()
    assert count >= 1


@pytest.mark.parametrize("kind", (GO, OURS))
def test_a_leader_that_stands_still_for_a_while(cluster_with, kind):
    """Not long enough to be given up: it is late with its heartbeats, and with its answer to a follower that asks again."""
    cluster = cluster_with(kind, kind, kind, **{"heartbeat-interval": 300, "election-timeout": 3000})
    leader, follower = cluster.leader(), cluster.followers()[0]
    leader.put("k", "v")
    late, slow = "etcd_server_heartbeat_send_failures_total", "etcd_server_slow_read_indexes_total"

    def is_noted() -> bool:
        # A busy machine may have it that the read came when the leader did not stand still yet.
        halt(leader.process.pid)
        reader = threading.Thread(target=follower.call, args=("KV.Range",), kwargs={"key": b"k"})
        reader.start()
        # Followers ask again after half a second.
        time.sleep(1.5)
        os.kill(leader.process.pid, signal.SIGCONT)
        reader.join()
        return scrape(leader)[late].value() >= 1 and scrape(follower)[slow].value() >= 1

    wait_until(is_noted, "the late heartbeat and answer", 60)


@pytest.mark.parametrize("kind", (GO, OURS))
def test_a_leader_that_is_left_alone(cluster_with, kind):
    cluster = cluster_with(kind, kind, kind)
    leader = cluster.leader()
    leader.put("k", "v")
    before = scrape(leader)
    assert before["etcd_server_has_leader"].value() == before["etcd_server_is_leader"].value() == 1
    for follower in cluster.followers():
        halt(follower.process.pid)
    try:
        threads = [
            threading.Thread(target=leader.call, args=(method,), kwargs={"key": b"k", "timeout": 60})
            for method in ("KV.Put", "KV.Range")]
        for thread in threads:
            thread.start()
        wait_until(lambda: scrape(leader)["etcd_server_has_leader"].value() == 0, "the leader's resignation", 30)
        for thread in threads:
            thread.join()
        after = scrape(leader)
        assert after["etcd_server_is_leader"].value() == 0
        failed = "etcd_server_proposals_failed_total"
        assert after[failed].value() - before[failed].value() >= 1
        # Ours gives reads up with the leadership, genuine etcd when their time is over.
        assert sum(after[f"etcd_server_{name}"].value() for name in (
            "slow_read_indexes_total", "read_indexes_failed_total")) >= 1
    finally:
        for member in cluster.members:
            os.kill(member.process.pid, signal.SIGCONT)
    wait_until(lambda: scrape(leader)["etcd_server_has_leader"].value() == 1, "a leader", 30)
    wait_until(
        lambda: scrape(leader)["etcd_server_leader_changes_seen_total"].value()
        > before["etcd_server_leader_changes_seen_total"].value(), "the change")
