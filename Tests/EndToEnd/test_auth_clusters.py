"""Auth with genuine etcd 3.4: one cluster of both kinds, and data directories that go from one to the other."""

import pytest

from harness import settings
from harness.api import Failure
from harness.auth import READ, READWRITE, WRITE, User, UserCalls, log_in, permission, set_up
from harness.cluster import GO, OURS
from harness.waiting import wait_until
from test_data_directories import *  # noqa: F403  (helpers of directory exchange)

DENIED = Failure("PERMISSION_DENIED", "etcdserver: permission denied")
