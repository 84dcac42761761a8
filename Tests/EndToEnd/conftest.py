"""Fixtures of the end-to-end suite."""

import shutil
import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness import settings  # noqa: E402
from harness.cluster import Cluster  # noqa: E402
from harness.member import Member  # noqa: E402
from harness.pair import Pair  # noqa: E402

# A run in the background starts with Ctrl-C ignored, and what it starts would inherit that: commands that stay are
# ended by it.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header(config) -> list[str]:
    return [f"genuine etcd: {settings.GENUINE}", f"under test:   {settings.UNDER_TEST}"]


def pytest_sessionstart(session) -> None:
    missing = settings.missing_tools()
    if missing:
        raise pytest.UsageError(f"not found: {', '.join(missing)} (Scripts/setup test installs the tools)")


def pytest_collection_modifyitems(items) -> None:
    if settings.UNDER_TEST_IS_GENUINE:
        skip = pytest.mark.skip(reason="the server under test is the genuine one")
        for item in items:
            if item.get_closest_marker("ours_only"):
                item.add_marker(skip)


@pytest.fixture
def directory(tmp_path: Path):
    """A scratch folder that is gone after the test: data directories are large."""
    yield tmp_path
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.fixture
def pair_with(directory: Path):
    """Makes a started pair with flags."""
    pairs: list[Pair] = []

    def make(*flags: str) -> Pair:
        pair = Pair(directory / f"pair-{len(pairs)}", flags)
        pairs.append(pair)
        return pair.start()

    yield make
    for pair in pairs:
        pair.close()


@pytest.fixture
def pair(pair_with) -> Pair:
    """A started pair of fresh members with default flags."""
    return pair_with()


@pytest.fixture
def member_with(directory: Path):
    """Makes members (not started) of a binary, by default the one under test."""
    members: list[Member] = []

    def make(binary: str | None = None, *flags: str, name: str | None = None) -> Member:
        name = name or f"member-{len(members)}"
        member = Member(binary or settings.UNDER_TEST, directory / name, flags, name)
        members.append(member)
        return member

    yield make
    for member in members:
        member.close()


@pytest.fixture
def cluster_with(directory: Path):
    """Makes started clusters of members of given kinds."""
    clusters: list[Cluster] = []

    def make(*kinds: str, **options) -> Cluster:
        cluster = Cluster(directory / f"cluster-{len(clusters)}", kinds, **options)
        clusters.append(cluster)
        return cluster.start()

    yield make
    for cluster in clusters:
        cluster.close()
