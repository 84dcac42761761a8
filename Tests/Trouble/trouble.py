"""Three members in network namespaces, clients, and all the trouble that a seed makes.

    python Tests/Trouble/trouble.py --seconds 100 --seed 1 --members ours,ours,genuine

It must run as root and needs /dev/net/tun. Exits with 0 when nothing was violated, with 1 when something was, with 77
when namespaces cannot be had. What it found is in --directory: histories that check-history reads, the members' logs,
and events.txt, which says what was done when. The same seed makes the same faults in the same order, though not the same
run: threads and processes are the machine's.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "EndToEnd"))

# Members are started while gRPC's threads run: its handlers around a fork are not wanted.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

import namespaces  # noqa: E402
from harness import settings  # noqa: E402

SKIPPED = 77


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=100.0, help="how long faults are made (100)")
    parser.add_argument("--seed", type=int, default=None, help="decides the faults; random and printed by default")
    parser.add_argument("--members", default="ours,ours,ours", help="ours or genuine, three of them")
    parser.add_argument("--clients", type=int, default=8, help="clients at a time (8)")
    parser.add_argument("--round", type=float, default=20.0, help="seconds after which new keys are taken (20)")
    parser.add_argument("--only", default="", help="faults whose names have this in them")
    parser.add_argument("--directory", default="", help="where everything is written; kept")
    parser.add_argument("--check-history", default=settings._built("check-history"), help="the checker's executable")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    if (reason := namespaces.missing()) is not None:
        print(f"skipped: {reason}")
        return SKIPPED
    if not Path(options.check_history).exists():
        print(f"{options.check_history} is missing: build the product check-history")
        return 1
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 31)
    directory = Path(options.directory or tempfile.mkdtemp(prefix="trouble-"))
    directory.mkdir(parents=True, exist_ok=True)
    print(f"seed {seed}, members {options.members}, everything in {directory}", flush=True)
    # Namespaces are made before there are threads: each thread has its own.
    made = namespaces.make(len(options.members.split(",")))
    from run import Run

    run = Run(options, seed, directory, made)
    try:
        violations = run.run()
    finally:
        run.close()
    if not violations and not options.directory:
        shutil.rmtree(directory, ignore_errors=True)
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
