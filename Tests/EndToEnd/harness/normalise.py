"""Replaces what may differ between two runs of one session, and nothing else.

Revisions, raft terms, member and cluster ids are left as they are: they must be equal.
"""

import re

_SUBSTITUTIONS: list[tuple[re.Pattern[str], str]] = [
    # etcdctl's own log lines: time stamps, and the random part of its balancer's target.
    (re.compile(r'"ts":(?:"[^"]*"|[0-9.e+]+)'), '"ts":T'),
    (re.compile(r"endpoint://client-[0-9a-f-]{36}/"), "endpoint://client-X/"),
    # Which retry of etcdctl's own ended a wait.
    (re.compile(r'"attempt":\d+'), '"attempt":N'),
    # Time measured by the client.
    (re.compile(r"took = [0-9.]+[mµn]?s"), "took = T"),
    (re.compile(r'"took":"[0-9.]+[mµn]?s"'), '"took":T'),
    (re.compile(r'^"Took" : .*$', re.M), '"Took" : T'),
    (re.compile(r'"took":[0-9.e-]+'), '"took":T'),
    # Raft's log position: etcd 3.4's own health check takes an entry, a later version's does not.
    (re.compile(r'"raft(Applied)?Index":\d+'), r'"raft\1Index":N'),
    (re.compile(r'^"Raft(Applied)?Index" : \d+', re.M), r'"Raft\1Index" : N'),
    # The server's version and the layout of its file.
    (re.compile(r'"version":"\d+\.\d+\.\d+[^"]*"'), '"version":"V"'),
    (re.compile(r'^"Version" : "[^"]*"', re.M), '"Version" : "V"'),
    (re.compile(r'"dbSize(InUse)?":\d+'), r'"dbSize\1":N'),
    (re.compile(r'^"DBSize(InUse)?" : \d+', re.M), r'"DBSize\1" : N'),
    (re.compile(r'"size":"[0-9.]+ [kMG]?B"'), '"size":N'),
    (re.compile(r"^(127.0.0.1:PPPPP, [0-9a-f]{16}, )[^,]+, [^,]+(, \w+, \w+, \d+), \d+, \d+,", re.M), r"\1V, SIZE\2, N, N,"),
    # Seconds left of a lease: the second in which the question falls.
    (re.compile(r"remaining\(\d+s\)"), "remaining(Ts)"),
    (re.compile(r'"ttl":\d+'), '"ttl":T'),
    (re.compile(r'^"TTL" : \d+', re.M), '"TTL" : T'),
    # A Go client that panics prints addresses.
    (re.compile(r"\(0x[0-9a-f]+.*\)$|\+0x[0-9a-f]+$|0x[0-9a-f]{6,}", re.M), "0x"),
]

# Columns of etcdctl's tables that may differ, by their heading.
_FREE_COLUMNS = {"VERSION", "DB SIZE", "RAFT INDEX", "RAFT APPLIED INDEX", "TOOK", "HASH", "TOTAL KEYS", "TOTAL SIZE"}

_RULE = re.compile(r"^\+[-+]+\+$")


def normalised(text: str, port: int, leases: list[int], directory: str) -> str:
    """`text` with ports, lease ids, directories, times and sizes replaced by names."""
    text = text.replace(directory, "DIR")
    text = text.replace(f"127.0.0.1:{port}", "127.0.0.1:PPPPP")
    for number, lease in enumerate(leases, start=1):
        text = re.sub(rf"\b{lease:x}\b|\b{lease:016x}\b", f"<lease {number}>", text)
        text = re.sub(rf"\b{lease}\b", f"<lease {number}>", text)
    for pattern, replacement in _SUBSTITUTIONS:
        text = pattern.sub(replacement, text)
    return _normalised_tables(text)


def _normalised_tables(text: str) -> str:
    """Tables with free columns blanked; widths, which follow the contents, no longer matter there."""
    lines = text.split("\n")
    output: list[str] = []
    headings: list[str] | None = None
    for line in lines:
        if _RULE.match(line):
            if not output or not output[-1].startswith("|"):
                headings = None
            output.append(line)
            continue
        if line.startswith("|") and line.endswith("|"):
            cells = [cell.strip() for cell in line[1:-1].split("|")]
            if headings is None:
                headings = cells
                if set(headings) & _FREE_COLUMNS:
                    output[-1] = "+rule+"
            elif set(headings) & _FREE_COLUMNS and len(cells) == len(headings):
                cells = ["*" if name in _FREE_COLUMNS else cell for name, cell in zip(headings, cells)]
            if set(headings) & _FREE_COLUMNS:
                line = "| " + " | ".join(cells) + " |"
        output.append(line)
    if any(line == "+rule+" for line in output):
        output = ["+rule+" if _RULE.match(line) else line for line in output]
    return "\n".join(output)
