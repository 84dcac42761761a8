/// Small histories with their verdict: what each shows is its name.
struct KnownHistory: Sendable, CustomStringConvertible {
    var description: String
    /// Lines of the text format, without its heading.
    var lines: String

    init(_ name: String, _ lines: String) {
        description = name
        self.lines = lines
    }

    var text: String { "swift-etcd history 1\n" + lines }

    static let good = [
        KnownHistory("nothing was asked", ""),
        KnownHistory("a read of a key that is not there", "r 0 1 get x => nil"),
        KnownHistory(
            "a read beside a write sees the old value or the new one",
            """
            w 0 10 put x 1 => ok
            w 20 40 put x 2 => ok
            a 21 39 get x => 1
            b 21 39 get x => 2
            """),
        KnownHistory(
            "what touches in one instant overlaps",
            """
            w 0 10 put x 1 => ok
            r 10 20 get x => nil
            """),
        KnownHistory(
            "two writes at once are read in one order by all",
            """
            v 0 10 put x 1 => ok
            w 0 10 put x 2 => ok
            a 11 12 get x => 1
            b 11 12 get x => 1
            """),
        KnownHistory(
            "an unknown write is never seen",
            """
            w 0 10 put x 1 => ok
            w 11 - put x 2 => unknown
            r 50 51 get x => 1
            r 60 61 get x => 1
            """),
        KnownHistory(
            "an unknown write takes effect long after the client gave up",
            """
            w 0 10 put x 1 => ok
            w 11 20 put x 2 => unknown
            r 50 51 get x => 1
            r 60 61 get x => 2
            """),
        KnownHistory(
            "an unknown write is overwritten without being seen, and another key's is seen later",
            """
            w 0 10 put x 1 => ok
            v 11 - txn then put x 2 ; put y 2 => unknown
            w 20 30 put x 3 => ok
            r 50 51 get x => 3
            r 60 61 get y => 2
            """),
        KnownHistory(
            "two unknown compare-and-sets, one after the other",
            """
            w 0 10 put x 1 => ok
            v 11 - cas x 2 3 => unknown
            w 11 - cas x 1 2 => unknown
            r 60 61 get x => 3
            """),
        KnownHistory(
            "an unknown write makes a compare-and-set fail and is then overwritten",
            """
            w 0 10 put x 1 => ok
            v 11 - put x 2 => unknown
            w 20 21 cas x 1 5 => false
            w 22 23 put x 3 => ok
            r 30 31 get x => 3
            """),
        KnownHistory(
            "compare-and-sets at once: one is done",
            """
            a 0 10 cas x nil 1 => true
            b 0 10 cas x nil 2 => false
            c 0 10 cas x nil 3 => false
            r 11 12 get x => 1
            """),
        KnownHistory(
            "a delete counts what it deleted",
            """
            w 0 10 put x 1 => ok
            w 11 12 delete x => 1
            w 13 14 delete x => 0
            r 15 16 get x => nil
            """),
        KnownHistory(
            "a transaction moves a value; readers see both keys before it or both after it",
            """
            w 0 10 txn then put x 1 ; put y 0 => true ok ok rev=2
            w 20 40 txn if x=1 then put x 0 ; put y 1 else get x => true ok ok rev=3
            a 21 39 txn then get x ; get y => true 1@2 0@2 rev=2
            b 21 39 txn then get x ; get y => true 0@3 1@3 rev=3
            """),
        KnownHistory(
            "a transaction's read sees its own put",
            """
            w 0 10 put x 1 => ok
            w 20 40 txn then get x ; put x 2 ; get x => true 1 ok 2
            """),
        KnownHistory(
            "a serializable read is old, and says so by its revision",
            """
            w 0 10 put x 1 => ok rev=2
            w 11 12 put x 2 => ok rev=3
            r 13 14 sget x => 1@2 rev=2
            """),
        KnownHistory(
            "a failed write leaves nothing",
            """
            w 0 10 put x 1 => failed
            r 11 12 get x => nil
            """),
        KnownHistory(
            "a write seen before it was answered",
            """
            w 0 100 put x 1 => ok rev=2
            r 10 20 get x => 1@2 rev=2
            """),
    ]

    static let bad = [
        KnownHistory("a value that nobody wrote", "r 0 1 get x => 1"),
        KnownHistory(
            "an acknowledged write is lost",
            """
            w 0 10 put x 1 => ok
            r 11 12 get x => nil
            """),
        KnownHistory(
            "a stale read",
            """
            w 0 10 put x 1 => ok
            w 11 20 put x 2 => ok
            r 21 22 get x => 1
            """),
        KnownHistory(
            "a value comes back",
            """
            w 0 10 put x 1 => ok
            w 11 40 put x 2 => ok
            a 12 15 get x => 2
            b 16 20 get x => 1
            """),
        KnownHistory(
            "two readers disagree on the order of two writes",
            """
            v 0 10 put x 1 => ok
            w 0 10 put x 2 => ok
            a 11 12 get x => 1
            b 13 14 get x => 2
            """),
        KnownHistory(
            "an unknown write takes effect twice",
            """
            w 0 10 put x 1 => ok
            v 11 - put x 2 => unknown
            r 20 21 get x => 2
            w 22 23 put x 3 => ok
            r 24 25 get x => 2
            """),
        KnownHistory(
            "an unknown write takes effect before it was asked for",
            """
            r 0 5 get x => 1
            w 6 - put x 1 => unknown
            """),
        KnownHistory(
            "a write that failed is seen",
            """
            w 0 10 put x 1 => failed
            r 11 12 get x => 1
            """),
        KnownHistory(
            "two compare-and-sets from the same value are done",
            """
            a 0 10 cas x nil 1 => true
            b 0 10 cas x nil 2 => true
            """),
        KnownHistory(
            "a compare-and-set fails without a reason",
            """
            w 0 10 put x 1 => ok
            a 11 20 cas x 1 2 => false
            """),
        KnownHistory(
            "a deleted key is deleted again",
            """
            w 0 10 put x 1 => ok
            w 11 12 delete x => 1
            w 13 14 delete x => 1
            """),
        KnownHistory(
            "half of a transaction is seen",
            """
            w 0 10 txn then put x 1 ; put y 1 => true ok ok
            w 20 40 txn then put x 2 ; put y 2 => true ok ok
            r 21 39 txn then get x ; get y => true 2 1
            """),
        KnownHistory(
            "reads of single keys see half of a transaction, one after the other",
            """
            w 0 10 txn then put x 1 ; put y 1 => true ok ok
            w 20 40 txn then put x 2 ; put y 2 => true ok ok
            a 21 25 get x => 2
            a 26 30 get y => 1
            """),
        KnownHistory(
            "half of an unknown transaction is overwritten, and the other half is lost",
            """
            v 0 - txn then put x 1 ; put y 1 => unknown
            a 10 11 get y => 1
            w 12 13 put x 2 => ok
            a 14 15 get x => 1
            """),
    ]

    /// Values fit here, revisions do not.
    static let badByRevision = [
        KnownHistory(
            "two writes have one revision",
            """
            w 0 10 put x 1 => ok rev=2
            w 11 20 put y 2 => ok rev=2
            """),
        KnownHistory(
            "the store's revision goes back",
            """
            w 0 10 put x 1 => ok rev=5
            w 11 20 put y 2 => ok rev=4
            """),
        KnownHistory(
            "a linearizable read has an old revision",
            """
            w 0 10 put x 1 => ok rev=5
            r 11 20 get y => nil rev=4
            """),
        KnownHistory(
            "a write has a revision that was there before",
            """
            r 0 10 get x => nil rev=5
            w 11 20 put y 1 => ok rev=5
            """),
        KnownHistory(
            "a serializable read misses a change",
            """
            w 0 10 put x 1 => ok rev=2
            w 11 20 put x 2 => ok rev=3
            r 21 22 sget x => 1@2 rev=3
            """),
        KnownHistory(
            "a serializable read has what was not yet written",
            """
            r 0 5 sget x => 1@2 rev=2
            w 6 10 put x 1 => ok rev=2
            """),
        KnownHistory(
            "a serializable read has another value than was written",
            """
            w 0 10 put x 1 => ok rev=2
            r 11 12 sget x => 2@2 rev=2
            """),
        KnownHistory(
            "a serializable read does not find what is there at its revision",
            """
            w 0 10 put x 1 => ok rev=2
            r 11 12 sget x => nil rev=3
            """),
        KnownHistory(
            "a key is newer than the store",
            """
            w 0 10 put x 1 => ok rev=7
            r 11 12 sget x => 1@7 rev=6
            """),
    ]
}
