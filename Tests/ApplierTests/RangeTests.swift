import Testing

/// What ranges answer, from a view and through the log. ``Transcript`` explains the commands.
@Suite struct RangeTests {
    @Test func sortsByEveryTargetInBothOrders() throws {
        try Transcript.check(
            """
            put b 3
            put a 2
            put c 1
            put a 2
            put d 1
            put d 1
            put d 0
            ----
            rev=2
            rev=3
            rev=4
            rev=5
            rev=6
            rev=7
            rev=8

            get a end=0
            get a end=0 order=descend
            get a end=0 sort=version order=ascend
            get a end=0 sort=version order=descend
            get a end=0 sort=create order=ascend
            get a end=0 sort=create order=descend
            get a end=0 sort=mod order=ascend
            get a end=0 sort=mod order=descend
            get a end=0 sort=value order=ascend
            get a end=0 sort=value order=descend
            get a end=0 sort=mod
            ----
            rev=8 [a=2@5 v2 from 3, b=3@2, c=1@4, d=0@8 v3 from 6] of 4
            rev=8 [d=0@8 v3 from 6, c=1@4, b=3@2, a=2@5 v2 from 3] of 4
            rev=8 [b=3@2, c=1@4, a=2@5 v2 from 3, d=0@8 v3 from 6] of 4
            rev=8 [d=0@8 v3 from 6, a=2@5 v2 from 3, b=3@2, c=1@4] of 4
            rev=8 [b=3@2, a=2@5 v2 from 3, c=1@4, d=0@8 v3 from 6] of 4
            rev=8 [d=0@8 v3 from 6, c=1@4, a=2@5 v2 from 3, b=3@2] of 4
            rev=8 [b=3@2, c=1@4, a=2@5 v2 from 3, d=0@8 v3 from 6] of 4
            rev=8 [d=0@8 v3 from 6, a=2@5 v2 from 3, c=1@4, b=3@2] of 4
            rev=8 [d=0@8 v3 from 6, c=1@4, a=2@5 v2 from 3, b=3@2] of 4
            rev=8 [b=3@2, a=2@5 v2 from 3, c=1@4, d=0@8 v3 from 6] of 4
            rev=8 [b=3@2, c=1@4, a=2@5 v2 from 3, d=0@8 v3 from 6] of 4

            get a end=0 sort=mod order=descend limit=2
            get a end=0 order=descend limit=3 keys
            get a end=0 sort=value order=ascend limit=4
            ----
            rev=8 [d=0@8 v3 from 6, a=2@5 v2 from 3] of 4 more
            rev=8 [d=@8 v3 from 6, c=@4, b=@2] of 4 more
            rev=8 [d=0@8 v3 from 6, c=1@4, a=2@5 v2 from 3, b=3@2] of 4
            """)
    }

    @Test func filtersLeaveOutPairsAndNotTheCount() throws {
        try Transcript.check(
            """
            put a 1
            put b 1
            put c 1
            put b 2
            ----
            rev=2
            rev=3
            rev=4
            rev=5

            get a end=0 minmod=4
            get a end=0 maxmod=4
            get a end=0 minmod=4 maxmod=4
            get a end=0 mincreate=3
            get a end=0 maxcreate=3
            get a end=0 mincreate=3 maxmod=4
            get a end=0 minmod=3 limit=1
            ----
            rev=5 [b=2@5 v2 from 3, c=1@4] of 3
            rev=5 [a=1@2, c=1@4] of 3
            rev=5 [c=1@4] of 3
            rev=5 [b=2@5 v2 from 3, c=1@4] of 3
            rev=5 [a=1@2, b=2@5 v2 from 3] of 3
            rev=5 [c=1@4] of 3
            rev=5 [b=2@5 v2 from 3] of 3 more
            """)
    }

    @Test func limitsCountsAndKeys() throws {
        try Transcript.check(
            """
            put a 1
            put b 2
            put c 3
            put d 4
            ----
            rev=2
            rev=3
            rev=4
            rev=5

            get a end=0 limit=2
            get a end=0 limit=4
            get a end=0 limit=5
            get b end=d limit=1
            get a end=0 keys
            get a end=0 keys limit=3
            get a end=0 count
            get a end=0 count limit=1
            get b
            get x
            get d end=b
            get a limit=1
            ----
            rev=5 [a=1@2, b=2@3] of 4 more
            rev=5 [a=1@2, b=2@3, c=3@4, d=4@5] of 4
            rev=5 [a=1@2, b=2@3, c=3@4, d=4@5] of 4
            rev=5 [b=2@3] of 2 more
            rev=5 [a=@2, b=@3, c=@4, d=@5] of 4
            rev=5 [a=@2, b=@3, c=@4] of 4 more
            rev=5 [] of 4
            rev=5 [] of 4
            rev=5 [b=2@3] of 1
            rev=5 [] of 0
            rev=5 [] of 0
            rev=5 [a=1@2] of 1
            """)
    }

    @Test func theRevisionMayLieInThePast() throws {
        try Transcript.check(
            """
            put a 1
            put a 2
            delete a
            put a 3
            ----
            rev=2
            rev=3
            rev=4 deleted 1
            rev=5

            get a rev=1
            get a rev=2
            get a rev=3
            get a rev=4
            get a rev=5
            get a rev=6
            get a rev=-1
            get a end=0 rev=3 count
            ----
            rev=5 [] of 0
            rev=5 [a=1@2] of 1
            rev=5 [a=2@3 v2 from 2] of 1
            rev=5 [] of 0
            rev=5 [a=3@5] of 1
            error outOfRange: etcdserver: mvcc: required revision is a future revision
            rev=5 [a=3@5] of 1
            rev=5 [] of 1

            compact 3
            get a rev=2
            get a rev=3
            compact 3
            compact 9
            ----
            rev=5
            error outOfRange: etcdserver: mvcc: required revision has been compacted
            rev=5 [a=2@3 v2 from 2] of 1
            error outOfRange: etcdserver: mvcc: required revision has been compacted
            error outOfRange: etcdserver: mvcc: required revision is a future revision
            """)
    }
}
