"""The metrics: genuine etcd's names, types, labels and help texts, and after the same requests its numbers."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from harness import metrics
from harness.api import Calls, as_bytes
from harness.cluster import Cluster
from harness.member import Member
from harness.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]

# Metrics of genuine etcd 3.4 that this server does not have, with the reason.
ABSENT = {
    r"go_.*|etcd_server_go_version": "there is no Go here",
    r"etcd_grpc_proxy_.*": "there is no gRPC proxy in this server; in etcd's they are always 0",
    r"etcd_debugging_store_(reads|writes)_total": "what clients ask of the version-2 store; etcd counts what it does itself",
    r"etcd_debugging_disk_backend_commit_(rebalance|spill|write)_duration_seconds": "phases of bbolt's commit",
}

# Numbers that must be equal after equal requests.
COUNTED = [
    "etcd_mvcc_put_total", "etcd_mvcc_delete_total", "etcd_mvcc_range_total", "etcd_mvcc_txn_total",
    "etcd_debugging_mvcc_put_total", "etcd_debugging_mvcc_delete_total", "etcd_debugging_mvcc_range_total",
    "etcd_debugging_mvcc_txn_total", "etcd_debugging_mvcc_total_put_size_in_bytes", "etcd_debugging_mvcc_keys_total",
    "etcd_debugging_mvcc_events_total", "etcd_debugging_mvcc_pending_events_total",
    "etcd_debugging_mvcc_watcher_total", "etcd_debugging_mvcc_watch_stream_total",
    "etcd_debugging_mvcc_slow_watcher_total", "etcd_debugging_mvcc_current_revision",
    "etcd_debugging_mvcc_compact_revision", "etcd_debugging_mvcc_db_compaction_keys_total",
    "etcd_debugging_lease_granted_total", "etcd_debugging_lease_revoked_total",
    "etcd_debugging_lease_renewed_total", "etcd_server_proposals_failed_total", "etcd_server_proposals_pending",
    "etcd_server_has_leader", "etcd_server_is_leader", "etcd_server_is_learner",
    "etcd_server_leader_changes_seen_total", "etcd_server_quota_backend_bytes",
]
COUNTED_HISTOGRAMS = [
    "etcd_debugging_lease_ttl_total", "etcd_mvcc_hash_duration_seconds", "etcd_mvcc_hash_rev_duration_seconds",
    "etcd_disk_backend_defrag_duration_seconds", "etcd_disk_backend_snapshot_duration_seconds",
    "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds",
]


def url(member: Member) -> str:
    return f"http://{member.endpoint}"


def all_kinds_of_requests(calls: Calls) -> None:
    """One or more of everything that is counted."""
    for number in range(5):
        calls.put(f"k/{number}", "value")
    calls.put("k/1", "other", prev_kv=True)
    calls.quiet("KV.Put", key=b"k/1", ignore_value=True)
    calls.quiet("KV.Put", key=b"none", ignore_value=True)
    calls.get("k/", "k0")
    calls.get("k/1")
    calls.get("k/1", serializable=True)
    calls.get("k/1", revision=1000)
    calls.delete("k/4")
    calls.delete("none")
    calls.delete("k/3", prev_kv=True)
    put = lambda key: {"request_put": {"key": as_bytes(key), "value": b"v"}}  # noqa: E731
    get = lambda key: {"request_range": {"key": as_bytes(key)}}  # noqa: E731
    drop = lambda key: {"request_delete_range": {"key": as_bytes(key)}}  # noqa: E731
    missing = lambda key: {"key": as_bytes(key), "target": "VERSION", "version": 0}  # noqa: E731
    calls.quiet("KV.Txn", compare=[missing("t")], success=[put("t")], failure=[get("t")])
    calls.quiet("KV.Txn", compare=[missing("t")], success=[put("t")], failure=[get("t")])
    calls.quiet("KV.Txn", compare=[missing("t"), missing("u")], success=[put("t")], failure=[get("t"), get("k/1")])
    calls.quiet("KV.Txn", success=[put("u"), put("v"), drop("t"), get("u")])
    calls.quiet("KV.Txn", success=[get("u")])
    calls.quiet("KV.Txn", success=[{"request_put": {"key": b"u", "ignore_value": True, "prev_kv": True}}])
    calls.quiet("KV.Txn", compare=[missing("w")], success=[
        {"request_txn": {"compare": [missing("w")], "success": [put("w"), put("x")], "failure": []}}])
    calls.quiet("KV.Put", key=b"l", lease=77)
    calls.quiet("Lease.LeaseGrant", ID=7, TTL=600)
    calls.quiet("Lease.LeaseGrant", ID=7, TTL=600)
    calls.quiet("Lease.LeaseGrant", ID=8, TTL=60)
    for key in ("l1", "l2", "l3"):
        calls.quiet("KV.Put", key=key.encode(), value=b"leased", lease=7)
    stream = calls.stream("Lease.LeaseKeepAlive")
    stream.send(ID=7)
    stream.next()
    stream.send(ID=9)
    stream.next()
    stream.half_close()
    calls.quiet("Lease.LeaseTimeToLive", ID=7)
    calls.quiet("Lease.LeaseRevoke", ID=7)
    calls.quiet("Lease.LeaseRevoke", ID=99)
    watch = calls.watch()
    watch.created(key=b"watched")
    watch.created(key=b"watched", range_end=b"watchee")
    watch.created(key=b"k/", range_end=b"k0", start_revision=2)
    watch.events(9)
    calls.put("watched", "1")
    calls.delete("watched")
    watch.events(4)
    calls.quiet("KV.Compact", revision=15, physical=True)
    calls.quiet("KV.Compact", revision=15)
    calls.quiet("Maintenance.Hash")
    calls.quiet("Maintenance.HashKV")
    calls.quiet("Maintenance.Defragment")
    calls.quiet("Maintenance.Snapshot")


def absence(name: str) -> str | None:
    return next((reason for pattern, reason in ABSENT.items() if re.fullmatch(pattern, name)), None)


def test_names_types_labels_help_and_bounds_are_etcds(pair_with):
    pair = pair_with("--metrics=extensive")
    script = all_kinds_of_requests
    for member in (pair.genuine, pair.ours):
        calls = Calls(member)
        script(calls)
        calls.close()
        metrics.scrape(url(member))
    genuine, ours = (metrics.scrape(url(member)) for member in (pair.genuine, pair.ours))
    differences = []
    for name, theirs in genuine.items():
        if absence(name):
            continue
        if name not in ours:
            differences.append(f"{name} is missing")
            continue
        mine = ours[name]
        for what in ("kind", "help", "bounds"):
            if getattr(theirs, what) != getattr(mine, what):
                differences.append(f"{name}: {what}: {getattr(theirs, what)!r}, here {getattr(mine, what)!r}")
        if theirs.samples and mine.samples and theirs.label_names != mine.label_names:
            differences.append(f"{name}: labels: {theirs.label_names}, here {mine.label_names}")
    assert not differences, "\n".join(differences)


def test_after_the_same_requests_the_same_numbers(pair):
    def run(member: Member) -> dict[str, float]:
        before = metrics.scrape(url(member))
        calls = Calls(member)
        all_kinds_of_requests(calls)
        wait_until(
            lambda: metrics.scrape(url(member))["etcd_debugging_mvcc_events_total"].value() >= 13, "the events")
        after = metrics.scrape(url(member))
        calls.close()
        numbers = {name: after[name].value() - before[name].value() for name in COUNTED}
        for name in COUNTED_HISTOGRAMS:
            numbers[name] = after[name].count - before[name].count
        for name in ("started", "handled", "msg_received", "msg_sent"):
            metric = after[f"grpc_server_{name}_total"]
            for (_, labels), value in metric.samples.items():
                # 3.4 cuts a snapshot into other pieces.
                if value and not (name == "msg_sent" and ("grpc_method", "Snapshot") in labels):
                    numbers[f"{name} {sorted(labels)}"] = value
        return numbers

    genuine, ours = pair.both(run)
    assert ours == genuine


# Metrics that this server has and genuine etcd 3.4 has not: of later versions of etcd, and ours.
LATER = {
    "etcd_debugging_mvcc_db_compaction_last", "etcd_debugging_server_watch_send_loop_control_stream_duration_seconds",
    "etcd_debugging_server_watch_send_loop_progress_duration_seconds",
    "etcd_debugging_server_watch_send_loop_watch_stream_duration_per_event_seconds",
    "etcd_debugging_server_watch_send_loop_watch_stream_duration_seconds", "etcd_disk_wal_write_duration_seconds",
    "etcd_network_known_peers", "etcd_server_apply_duration_seconds", "etcd_server_feature_enabled",
    "etcd_server_range_duration_seconds", "process_network_receive_bytes_total",
    "process_network_transmit_bytes_total", "swift_etcd_request_stage_seconds",
}


@pytest.mark.ours_only
def test_metrics_of_later_versions(member_with):
    member = member_with().start()
    calls = Calls(member)
    all_kinds_of_requests(calls)
    calls.close()
    scraped = metrics.scrape(url(member))
    assert not LATER - set(scraped)
    applied = scraped["etcd_server_apply_duration_seconds"]
    counts = {
        (dict(labels)["op"], dict(labels)["success"]): value
        for (name, labels), value in applied.samples.items() if name.endswith("_count")
    }
    # A put of no value for a key that is not there, and one for a lease that is not there.
    assert counts["Put", "false"] == 2
    assert counts["LeaseGrant", "true"] == 2 and counts["LeaseGrant", "false"] == 1
    assert counts["LeaseRevoke", "true"] == 1 and counts["LeaseRevoke", "false"] == 1
    # etcd counts a compaction that comes too late as done.
    assert counts["Compaction", "true"] == 2
    ranges = scraped["etcd_server_range_duration_seconds"]
    assert {dict(labels)["success"] for (name, labels), value in ranges.samples.items() if value} == {"true", "false"}
    stages = scraped["swift_etcd_request_stage_seconds"]
    puts = scraped["grpc_server_handled_total"].value(grpc_method="Put")
    for stage in ("queue", "sync", "apply", "reply", "read_index"):
        count = sum(
            value for (name, labels), value in stages.samples.items()
            if name.endswith("_count") and dict(labels)["stage"] == stage)
        assert count >= (puts if stage != "read_index" else 1) > 0, stage
    # What came of a compaction, a defragmentation and watches.
    for name in (
        "etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds",
        "etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds", "swift_etcd_disk_backend_defrag_pause_seconds",
        "etcd_debugging_server_watch_send_loop_watch_stream_duration_seconds",
        "etcd_debugging_server_watch_send_loop_watch_stream_duration_per_event_seconds",
        "etcd_debugging_server_watch_send_loop_control_stream_duration_seconds"):
        assert scraped[name].count >= 1, name
    assert scraped["etcd_debugging_mvcc_db_compaction_last"].value() > 1.6e9
    for name in ("process_network_receive_bytes_total", "process_network_transmit_bytes_total"):
        assert scraped[name].value() > 0
    features = scraped["etcd_server_feature_enabled"]
    assert features.value(name="LeaseCheckpoint", stage="ALPHA") == 0
    assert features.value(name="TxnModeWriteWithSharedBuffer", stage="BETA") == 1


@pytest.mark.ours_only
def test_what_members_of_a_cluster_count_of_each_other(directory):
    cluster = Cluster(directory, ["ours"] * 3).start()
    try:
        cluster.members[0].put("k", "v")
        ids = {f"{member.id:x}" for member in cluster.members}

        def probed() -> bool:
            for member in cluster.members:
                scraped = metrics.scrape(url(member))
                sent = scraped["etcd_network_peer_sent_bytes_total"].samples.values()
                received = scraped["etcd_network_peer_received_bytes_total"].samples.values()
                if scraped["etcd_network_peer_round_trip_time_seconds"].count < 2 or 0 in sent or 0 in received:
                    return False
            return True

        wait_until(probed, "the round trips and some bytes to everyone")
        for member in cluster.members:
            scraped = metrics.scrape(url(member))
            own = f"{member.id:x}"
            others = ids - {own}
            for name, label in [
                ("peer_sent_bytes_total", "To"), ("peer_received_bytes_total", "From"), ("active_peers", "Remote"),
            ]:
                metric = scraped[f"etcd_network_{name}"]
                assert {dict(labels)[label] for (_, labels) in metric.samples} == others, name
                assert all(value > 0 for value in metric.samples.values()), name
            assert scraped["etcd_network_known_peers"].value(Local=own) == 3
        gone = cluster.members[2]
        gone.kill()
        wait_until(
            lambda: metrics.scrape(url(cluster.members[0]))["etcd_network_disconnected_peers_total"].value() > 0,
            "the loss of a member")
        assert metrics.scrape(url(cluster.members[0]))["etcd_network_active_peers"].value(
            Remote=f"{gone.id:x}") == 0
        # Whoever leads goes on with its heartbeats, which get lost.
        wait_until(
            lambda: any(
                metrics.scrape(url(member))["etcd_network_peer_sent_failures_total"].value(To=f"{gone.id:x}") > 0
                for member in cluster.running()), "messages that are lost")
    finally:
        cluster.close()


@pytest.mark.ours_only
def test_slow_requests_are_logged_with_the_stage_that_took_the_time(member_with):
    member = member_with(None, "--warning-apply-duration=0ms", "--warning-unary-request-duration=0ms").start()
    calls = Calls(member)
    calls.put("slow", "secret value")
    calls.get("slow")
    calls.quiet("KV.Txn", success=[{"request_range": {"key": b"slow"}}])
    calls.close()
    scraped = metrics.scrape(url(member))
    assert scraped["etcd_server_slow_apply_total"].value() >= 3
    wait_until(lambda: "read-only txn" in member.log(), "the lines")
    lines = [json.loads(line) for line in member.log().splitlines() if line.startswith("{")]
    applies = {line["prefix"]: line for line in lines if line["msg"] == "apply request took too long"}
    assert set(applies) >= {"", "read-only range ", "read-only txn "}
    for line in applies.values():
        assert {"took", "expected-duration", "request", "response"} <= set(line)
        assert re.fullmatch(r"[0-9.]+(ns|µs|ms|s)", line["took"])
    assert applies["read-only range "]["request"] == 'key:"slow" '
    for kind in ("read-only range ", "read-only txn "):
        assert applies[kind]["stage"] in ("read_index", "read") and {"read_index", "read"} <= set(applies[kind])
    puts = [line for line in lines if "put:<" in line.get("request", "")]
    assert 'put:<key:"slow" value_size:12 >' in puts[0]["request"]
    assert "secret" not in member.log()
    (slow, *_) = [line for line in lines if line["msg"] == "request was slow" and line["method"].endswith("KV/Put")]
    assert slow["stage"] in ("queue", "sync", "apply")
    assert {"queue", "sync", "apply", "took", "remote"} <= set(slow)
    assert any(line["msg"] == "request stats" and line["response type"].endswith("KV/Range") for line in lines)


MONITORING = ROOT / "deploy" / "monitoring"


def promtool(*arguments: str, stdin: str = "") -> str:
    done = subprocess.run(
        ["promtool", *arguments], input=stdin, capture_output=True, text=True, cwd=MONITORING, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.ours_only
def test_the_alerts_fire_when_they_should():
    assert "SUCCESS" in promtool("check", "rules", "alerts.yml")
    assert "SUCCESS" in promtool("test", "rules", "alerts_test.yml")


@pytest.mark.ours_only
def test_every_alert_is_tested():
    rules = set(re.findall(r"- alert: (\w+)", (MONITORING / "alerts.yml").read_text()))
    tested = set(re.findall(r"alertname: (\w+)", (MONITORING / "alerts_test.yml").read_text()))
    assert rules == tested


@pytest.mark.ours_only
def test_promtool_reads_the_metrics_and_the_dashboard_and_alerts_name_none_that_is_not_there(directory):
    cluster = Cluster(directory, ["ours"] * 3, metrics="extensive", enable_distributed_tracing="true").start()
    try:
        member = cluster.leader()
        member.put("k", "v")
        member.ask("Maintenance.Alarm", action="ACTIVATE", memberID=member.id, alarm="NOSPACE")
        wait_until(
            lambda: "etcd_debugging_server_alarms" in metrics.scrape(url(member))
            and "etcd_network_peer_round_trip_time_seconds" in metrics.scrape(url(member)), "the alarm")
        text = metrics.text(url(member))
    finally:
        cluster.close()
    # Its complaints about names, such as gauges that end in _total, are about etcd's names.
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=60)
    assert "error while linting" not in done.stderr, done.stderr
    there = {name for metric in metrics.parse(text).values() for name, _ in metric.samples}
    dashboard = json.loads((MONITORING / "dashboard.json").read_text())
    panels = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    rules = re.findall(r"expr: \|?(.*?)\n +(?:for|labels):", (MONITORING / "alerts.yml").read_text(), re.S)
    assert len(panels) > 30 and len(rules) >= 15
    named = {name for text in [*panels, *rules] for name in re.findall(
        r"\b(?:etcd|swift_etcd|grpc_server|process|os)_[a-z_]+", text)} - {"grpc_service", "grpc_method"}
    assert len(named) > 30
    assert not named - there
