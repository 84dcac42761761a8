import Testing

/// What transactions compare, do and leave alone. ``Transcript`` explains the commands.
@Suite struct TxnTests {
    @Test func everyTargetIsComparedInEveryWay() throws {
        try Transcript.check(
            """
            grant 7 10
            put a 1
            put a 5 lease=7
            ----
            rev=1 id=7 ttl=10
            rev=2
            rev=3

            txn if version of a = 2
            txn if version of a != 2
            txn if version of a > 1
            txn if version of a > 2
            txn if version of a < 3
            txn if version of a < 2
            txn if create of a = 2
            txn if create of a > 2
            txn if mod of a = 3
            txn if mod of a < 3
            txn if mod of a != 3
            txn if value of a = 5
            txn if value of a > 4
            txn if value of a < 4
            txn if value of a != 5
            txn if lease of a = 7
            txn if lease of a != 7
            txn if lease of a > 6
            ----
            rev=3 then
            rev=3 else
            rev=3 then
            rev=3 else
            rev=3 then
            rev=3 else
            rev=3 then
            rev=3 else
            rev=3 then
            rev=3 else
            rev=3 else
            rev=3 then
            rev=3 then
            rev=3 else
            rev=3 else
            rev=3 then
            rev=3 else
            rev=3 then
            """)
    }

    @Test func aMissingKeyIsZeroAndHasNoValue() throws {
        try Transcript.check(
            """
            txn if version of x = 0
            txn if create of x = 0
            txn if mod of x < 1
            txn if lease of x = 0
            txn if version of x > 0
            txn if value of x = ''
            txn if value of x != 1
            txn if value of x < 1
            ----
            rev=1 then
            rev=1 then
            rev=1 then
            rev=1 then
            rev=1 else
            rev=1 else
            rev=1 else
            rev=1 else
            """)
    }

    @Test func aRangeMustHoldForEachOfItsKeys() throws {
        try Transcript.check(
            """
            put a 1
            put b 2
            put c 2
            ----
            rev=2
            rev=3
            rev=4

            txn if value of a to d > 0
            txn if value of b to d = 2
            txn if value of a to d = 2
            txn if version of a to 0 = 1
            txn if version of x to z = 0
            txn if version of x to z > 0
            txn if version of a = 1 and value of b = 2
            txn if version of a = 1 and value of b = 3
            ----
            rev=4 then
            rev=4 then
            rev=4 else
            rev=4 then
            rev=4 then
            rev=4 else
            rev=4 then
            rev=4 else
            """)
    }

    @Test func oneRevisionForAllAndEachSeesTheOnesBefore() throws {
        try Transcript.check(
            """
            put a 1
            ----
            rev=2

            txn then put b 1 ; get a end=0 ; put c 1 prev ; delete a prev ; get a end=0 ; delete z
            state
            watched
            txn then get a end=0 ; get b rev=2
            txn then delete z
            state
            ----
            rev=3 then | put@3 | get@3 [a=1@2, b=1@3] of 2 | put@3 | delete@3 deleted 1 [a=1@2] | get@3 [b=1@3, c=1@3] of 2 | delete@3 deleted 0
            rev=3 compacted=-1 keys=2 leases=0 index=2
            @2: put a
            @3: put b, put c, delete a
            rev=3 then | get@3 [b=1@3, c=1@3] of 2 | get@3 [] of 0
            rev=3 then | delete@3 deleted 0
            rev=3 compacted=-1 keys=2 leases=0 index=4
            """)
    }

    @Test func nestedTransactionsAreComparedBeforeAnythingIsWritten() throws {
        try Transcript.check(
            """
            put a 1
            ----
            rev=2

            txn then put b 1 ; (txn if version of b = 0 then put c 1 else put d 1) ; get a end=0
            txn if version of b = 2 then put e 1 else (txn if version of b = 1 then (txn then put f 1) else put g 1) ; get e end=g
            watched
            ----
            rev=3 then | put@3 | (txn then | put@3) | get@3 [a=1@2, b=1@3, c=1@3] of 3
            rev=4 else | (txn then | (txn then | put@4)) | get@4 [f=1@4] of 1
            @2: put a
            @3: put b, put c
            @4: put f
            """)
    }

    @Test func whatCannotBeDoneLeavesTheStoreAsItWas() throws {
        try Transcript.check(
            """
            put a 1
            ----
            rev=2

            txn then put b 1 ; put c 1 lease=9
            txn then put b 1 ; put x 1 ignore-lease
            txn then put b 1 ; put x '' ignore-value
            txn then put b 1 ; get a rev=9
            txn then put b 1 ; (txn then put c 1 lease=9)
            txn if version of a = 1 then get a else put c 1 lease=9
            state
            ----
            error notFound: etcdserver: requested lease not found
            error invalidArgument: etcdserver: key not found
            error invalidArgument: etcdserver: key not found
            error outOfRange: etcdserver: mvcc: required revision is a future revision
            error notFound: etcdserver: requested lease not found
            rev=2 then | get@2 [a=1@2] of 1
            rev=2 compacted=-1 keys=1 leases=0 index=7

            put a 2
            compact 3
            txn then put b 1 ; get a rev=2
            state
            ----
            rev=3
            rev=3
            error outOfRange: etcdserver: mvcc: required revision has been compacted
            rev=3 compacted=3 keys=1 leases=0 index=10
            """)
    }

    @Test func putsKeepWhatTheyAreAskedToKeep() throws {
        try Transcript.check(
            """
            grant 7 10
            put a 1 lease=7
            put a '' ignore-value prev
            put a 2 lease=7
            put a 3 ignore-lease prev
            put x '' ignore-value
            put x 1 ignore-lease
            txn then put a 4 ignore-lease prev
            get a
            delete a prev
            delete a
            ----
            rev=1 id=7 ttl=10
            rev=2
            rev=3 was a=1@2 lease 7
            rev=4
            rev=5 was a=2@4 v3 from 2 lease 7
            error invalidArgument: etcdserver: key not found
            error invalidArgument: etcdserver: key not found
            rev=6 then | put@6 was a=3@5 v4 from 2 lease 7
            rev=6 [a=4@6 v5 from 2 lease 7] of 1
            rev=7 deleted 1 [a=4@6 v5 from 2 lease 7]
            rev=7 deleted 0
            """)
    }
}
