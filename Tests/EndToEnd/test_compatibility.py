"""The lists in docs/compatibility name all that etcd has, and each row a test that is there."""

import json
import re
import subprocess
import sys
import urllib.request

import pytest

from harness import settings
from harness.api import api

SCRIPT = settings.REPOSITORY / "Scripts" / "compatibility"
LISTS = settings.REPOSITORY / "docs" / "compatibility"

# Services of gRPC itself, which are in no file of etcd's.
GRPC_METHODS = {
    "grpc.health.v1.Health/Check", "grpc.health.v1.Health/List", "grpc.health.v1.Health/Watch",
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
}


def listed(kind: str) -> set[str]:
    rows = [row for file in LISTS.glob("*.json") for row in json.loads(file.read_text())]
    return {row["name"].strip("/").lstrip("-") for row in rows if row["kind"] == kind}


def flags_of(binary: str) -> set[str]:
    done = subprocess.run([binary, "--help"], capture_output=True, text=True, check=False)
    return set(re.findall(r"^\s*--?([a-z][a-z0-9-]+)", done.stdout + done.stderr, re.MULTILINE))


def metrics_of(member) -> set[str]:
    with urllib.request.urlopen(f"http://{member.endpoint}/metrics", timeout=10) as answer:
        return set(re.findall(r"^# TYPE (\S+) ", answer.read().decode(), re.MULTILINE))


def test_the_page_says_what_the_lists_say():
    done = subprocess.run([sys.executable, str(SCRIPT), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_rpc_is_listed():
    methods = {f"{method.containing_service.full_name}/{method.name}" for method in api().methods.values()} | GRPC_METHODS
    assert len(methods) > 50
    assert methods - listed("rpc") == set()


@pytest.mark.parametrize("binary", (settings.GENUINE, settings.UNDER_TEST), ids=("etcd 3.4", "ours"))
def test_every_flag_is_listed(binary):
    flags = flags_of(binary)
    assert len(flags) >= 80
    assert flags - listed("flag") == set()


def test_every_metric_is_listed(pair):
    for side in (pair.genuine, pair.ours):
        names = metrics_of(side)
        assert len(names) > 60
        assert names - listed("metric") == set(), side.binary
