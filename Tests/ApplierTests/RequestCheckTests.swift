import Testing

/// What is refused before it is proposed. ``Transcript`` explains the commands.
@Suite struct RequestCheckTests {
    @Test func aKeyIsNeededEverywhere() throws {
        try Transcript.check(
            """
            check put '' 1
            check get ''
            check delete ''
            check txn if version of '' = 0
            check txn then put '' 1
            check txn else (txn then delete '')
            check get a
            ----
            etcdserver: key is not provided
            etcdserver: key is not provided
            etcdserver: key is not provided
            etcdserver: key is not provided
            etcdserver: key is not provided
            etcdserver: key is not provided
            ok
            """)
    }

    @Test func aPutThatKeepsSomethingMustNotBringIt() throws {
        try Transcript.check(
            """
            check put a 1 ignore-value
            check put a '' ignore-value
            check put a 1 lease=7 ignore-lease
            check put a 1 ignore-lease
            check txn then put a 1 ignore-value
            ----
            etcdserver: value is provided
            ok
            etcdserver: lease is provided
            ok
            etcdserver: value is provided
            """)
    }

    @Test func sortsThatDoNotExistAreRefused() throws {
        try Transcript.check(
            """
            check get a end=b sort=unknown
            check get a end=b order=unknown
            check get a end=b sort=value order=descend
            ----
            etcdserver: invalid sort option
            etcdserver: invalid sort option
            ok
            """)
    }

    @Test func aTransactionMayHaveSoManyOperations() throws {
        try Transcript.check(
            """
            check txn then put a 1 ; put b 1 ; put c 1
            check txn then put a 1 ; put b 1 ; put c 1 ; put d 1
            check txn else get a ; get a ; get a ; get a
            check txn if version of a = 1 and version of a = 1 and version of a = 1 and version of a = 1
            check txn then (txn then get a ; get b)
            check txn then (txn then get a ; get b ; get c)
            check txn then (txn then (txn then get a))
            check txn then (txn then (txn then (txn)))
            check txn then (txn then (txn then (txn then get a)))
            ----
            ok
            etcdserver: too many operations in txn request
            etcdserver: too many operations in txn request
            etcdserver: too many operations in txn request
            ok
            etcdserver: too many operations in txn request
            ok
            ok
            etcdserver: too many operations in txn request
            """)
    }

    @Test func noKeyIsWrittenTwice() throws {
        try Transcript.check(
            """
            check txn then put a 1 ; put a 2
            check txn then put a 1 else put a 2
            check txn then put a 1 ; (txn then put a 2)
            check txn then put b 1 ; (txn else put b 2)
            check txn then (txn then put a 1 else put a 2)
            check txn then (txn then put a 1) ; (txn else put a 2)
            check txn then delete a end=c ; put b 1
            check txn then delete a end=c ; put c 1
            check txn then delete a ; delete a
            check txn then put b 1 ; delete a end=0
            check txn then (txn then delete b) ; put b 1
            check txn then (txn then delete b else put b 1)
            check txn then (txn then delete b) ; (txn then put b 1)
            ----
            etcdserver: duplicate key given in txn request
            ok
            etcdserver: duplicate key given in txn request
            etcdserver: duplicate key given in txn request
            ok
            etcdserver: duplicate key given in txn request
            etcdserver: duplicate key given in txn request
            ok
            ok
            ok
            etcdserver: duplicate key given in txn request
            ok
            etcdserver: duplicate key given in txn request
            """)
    }
}
