import Testing

/// Leases, alarms, members, and what a restart finds. ``Transcript`` explains the commands.
@Suite struct LeaseTests {
    @Test func keysHangOnOneLeaseAtATime() throws {
        try Transcript.check(
            """
            grant 7 10
            grant 8 1
            grant 7 10
            grant 0 10
            grant 9 9000000001
            put a 1 lease=9
            put b 1 lease=7
            put a 1 lease=7
            put c 1 lease=7
            ----
            rev=1 id=7 ttl=10
            rev=1 id=8 ttl=2
            error failedPrecondition: etcdserver: lease already exists
            error notFound: etcdserver: requested lease not found
            error outOfRange: etcdserver: too large lease TTL
            error notFound: etcdserver: requested lease not found
            rev=2
            rev=3
            rev=4

            lease 7
            put b 2 lease=8
            put c 2
            lease 7
            lease 8
            put b 3 ignore-lease
            lease 8
            delete b
            lease 8
            ----
            ttl=10 keys=["a", "b", "c"]
            rev=5
            rev=6
            ttl=10 keys=["a"]
            ttl=2 keys=["b"]
            rev=7
            ttl=2 keys=["b"]
            rev=8 deleted 1
            ttl=2 keys=[]
            """)
    }

    @Test func aRevocationDeletesInOrderInOneRevision() throws {
        try Transcript.check(
            """
            grant 7 10
            put b 1 lease=7
            put a 1 lease=7
            put ab 1 lease=7
            watched
            ----
            rev=1 id=7 ttl=10
            rev=2
            rev=3
            rev=4
            @2: put b
            @3: put a
            @4: put ab

            revoke 7
            watched
            get a end=0
            revoke 7
            grant 8 10
            revoke 8
            state
            ----
            rev=5
            @5: delete a, delete ab, delete b
            rev=5 [] of 0
            error notFound: etcdserver: requested lease not found
            rev=5 id=8 ttl=10
            rev=5
            rev=5 compacted=-1 keys=0 leases=0 index=9
            """)
    }

    @Test func leasesAndKeysSurviveARestart() throws {
        try Transcript.check(
            """
            grant 7 10
            put a 1 lease=7
            put b 1 lease=7
            put b 2
            commit
            restart
            lease 7
            revoke 7
            get a end=0
            ----
            rev=1 id=7 ttl=10
            rev=2
            rev=3
            rev=4
            ttl=10 keys=["a"]
            rev=5
            rev=5 [b=2@4 v2 from 3] of 1
            """)
    }

    @Test func withoutSpaceOnlyWhatFreesItGoesOn() throws {
        try Transcript.check(
            """
            grant 7 10
            put a 1 lease=7
            alarm activate nospace 5
            alarm activate nospace 5
            alarm get none 0
            ----
            rev=1 id=7 ttl=10
            rev=2
            rev=2 ["5:nospace"]
            rev=2 ["5:nospace"]
            rev=2 ["5:nospace"]

            put b 1
            grant 8 10
            txn then put b 1
            txn if version of x = 1 then put b 1
            txn then (txn else put b 1)
            txn then get a
            txn then delete a
            get a
            delete z
            compact 3
            revoke 7
            ----
            error resourceExhausted: etcdserver: mvcc: database space exceeded
            error resourceExhausted: etcdserver: mvcc: database space exceeded
            error resourceExhausted: etcdserver: mvcc: database space exceeded
            error resourceExhausted: etcdserver: mvcc: database space exceeded
            rev=2 then | (txn then)
            rev=2 then | get@2 [a=1@2 lease 7] of 1
            rev=3 then | delete@3 deleted 1
            rev=3 [] of 0
            rev=3 deleted 0
            rev=3
            rev=3

            commit
            restart
            put b 1
            alarm deactivate nospace 6
            put b 1
            alarm deactivate nospace 5
            alarm deactivate nospace 5
            put b 1
            ----
            error resourceExhausted: etcdserver: mvcc: database space exceeded
            rev=3 []
            error resourceExhausted: etcdserver: mvcc: database space exceeded
            rev=3 ["5:nospace"]
            rev=3 []
            rev=4
            """)
    }

    @Test func aCorruptMemberTakesNothing() throws {
        try Transcript.check(
            """
            put a 1
            alarm activate corrupt 5
            put a 2
            delete a
            txn then get a
            compact 2
            alarm get corrupt 0
            alarm deactivate corrupt 5
            put a 2
            ----
            rev=2
            rev=2 ["5:corrupt"]
            error dataLoss: etcdserver: corrupt cluster
            error dataLoss: etcdserver: corrupt cluster
            error dataLoss: etcdserver: corrupt cluster
            error dataLoss: etcdserver: corrupt cluster
            rev=2 ["5:corrupt"]
            rev=2 ["5:corrupt"]
            rev=3
            """)
    }

    @Test func membersPublishThemselvesInRequestsOfTheOldAPI() throws {
        try Transcript.check(
            """
            members
            publish one http://127.0.0.1:2379
            version 3.6.0
            members
            state
            ----
            a1  []
            version none
            a1 one ["http://127.0.0.1:2379"]
            version 3.6.0
            rev=1 compacted=-1 keys=0 leases=0 index=2
            """)
    }

    @Test func aReplayChangesNothingButTheMembers() throws {
        try Transcript.check(
            """
            grant 7 10
            publish one http://127.0.0.1:2379
            version 3.6.0
            put a 1 lease=7
            txn then put b 1 ; put c 1
            revoke 7
            compact 2
            alarm activate nospace 5
            commit
            state
            get a end=0
            ----
            rev=1 id=7 ttl=10
            rev=2
            rev=3 then | put@3 | put@3
            rev=4
            rev=4
            rev=4 ["5:nospace"]
            rev=4 compacted=2 keys=2 leases=0 index=8
            rev=4 [b=1@3, c=1@3] of 2

            restart
            members
            state
            replay
            members
            state
            get a end=0
            watched
            alarm get none 0
            ----
            a1  []
            version none
            rev=4 compacted=2 keys=2 leases=0 index=8
            a1 one ["http://127.0.0.1:2379"]
            version 3.6.0
            rev=4 compacted=2 keys=2 leases=0 index=9
            rev=4 [b=1@3, c=1@3] of 2
            rev=4 ["5:nospace"]
            """)
    }
}
