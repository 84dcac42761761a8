"""The metrics: genuine etcd's names, types, labels and help texts, and after the same requests its numbers."""

import json
import re
import subprocess
import urllib.request
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
    r"etcd_debugging_store_.*": "there only where the version-2 store is switched on",
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
            lambda: metrics.scrape(url(member))["etcd_debugging_mvcc_events_total"].value() >= 13, 10, "the events")
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
