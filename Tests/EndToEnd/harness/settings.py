"""Which binaries, ports and bounds a run uses. Every value can be set from the environment."""

import os
import shutil
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
PROTOS = Path(os.environ.get("ETCD_PROTOS", REPOSITORY / "Protos"))

# The genuine server and client that answers are compared with (Debian's etcd-server and etcd-client).
GENUINE = os.environ.get("ETCD_GENUINE", "/usr/bin/etcd")
ETCDCTL = os.environ.get("ETCDCTL", "/usr/bin/etcdctl")


def _built(product: str) -> str:
    """The newest of the release and debug builds of an executable product."""
    candidates = [REPOSITORY / ".build" / flavour / product for flavour in ("release", "debug")]
    present = [path for path in candidates if path.exists()]
    return str(max(present, key=lambda path: path.stat().st_mtime)) if present else str(candidates[0])


UNDER_TEST = os.environ.get("ETCD_UNDER_TEST") or _built("etcd")
BOLT_CHECK = os.environ.get("BOLT_CHECK") or _built("bolt-check")

# True while the suite checks itself with the genuine server on both sides.
UNDER_TEST_IS_GENUINE = os.path.realpath(UNDER_TEST) == os.path.realpath(GENUINE)

# Five digits wide, below the kernel's ephemeral range: tables keep their column widths and no outgoing
# connection takes a port that a member is about to listen on.
FIRST_PORT, LAST_PORT = (int(part) for part in os.environ.get("ETCD_TEST_PORTS", "23000-23999").split("-"))

# With several workers (pytest-xdist) each has a part of the range for itself.
if _worker := os.environ.get("PYTEST_XDIST_WORKER"):
    _share = (LAST_PORT + 1 - FIRST_PORT) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    FIRST_PORT += int(_worker.removeprefix("gw")) * _share
    LAST_PORT = FIRST_PORT + _share - 1

START_TIMEOUT = float(os.environ.get("ETCD_TEST_START_TIMEOUT", "60"))
COMMAND_TIMEOUT = float(os.environ.get("ETCD_TEST_COMMAND_TIMEOUT", "60"))

# A file to which every compared transcript of the genuine side is appended, to be read by a person.
TRANSCRIPTS = os.environ.get("ETCD_TEST_TRANSCRIPTS")


def missing_tools() -> list[str]:
    """What the suite needs and this machine lacks."""
    tools = [GENUINE, ETCDCTL, UNDER_TEST, "curl", "promtool"]
    return [tool for tool in tools if shutil.which(tool) is None]
