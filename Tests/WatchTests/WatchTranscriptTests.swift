import Testing

/// What clients see, step by step. ``Transcript`` explains the commands.
@Suite struct WatchTranscriptTests {
    @Test func aWatchIsCreatedBeforeItSaysAnything() throws {
        try Transcript.check(
            """
            watch s=1 key=a
            ----
            s1 w0 created rev=1

            put a 1
            put b 1
            delete a
            delete a
            ----
            s1 w0 rev=2 : put a=1@2
            s1 w0 rev=4 : delete a@4
            """)
    }

    @Test func aTransactionIsOneResponse() throws {
        try Transcript.check(
            """
            watch s=1 key=a end=c
            watch s=1 key=b
            ----
            s1 w0 created rev=1
            s1 w1 created rev=1

            txn put b 1; put z 1; put a 1
            ----
            s1 w1 rev=2 : put b=1@2
            s1 w0 rev=2 : put b=1@2, put a=1@2

            batch put a 2; put b 2; delete a
            ----
            s1 w0 rev=5 : put a=2@3, put b=2@4, delete a@5
            s1 w1 rev=5 : put b=2@4
            """)
    }

    @Test func rangesEndBeforeTheirEnd() throws {
        try Transcript.check(
            """
            watch s=1 key=b
            watch s=1 key=b end=d
            watch s=1 key=c end=0
            watch s=1 key= end=0
            watch s=1 key= end=c
            ----
            s1 w0 created rev=1
            s1 w1 created rev=1
            s1 w2 created rev=1
            s1 w3 created rev=1
            s1 w4 created rev=1

            put a 1
            ----
            s1 w4 rev=2 : put a=1@2
            s1 w3 rev=2 : put a=1@2

            put b 1
            ----
            s1 w0 rev=3 : put b=1@3
            s1 w4 rev=3 : put b=1@3
            s1 w3 rev=3 : put b=1@3
            s1 w1 rev=3 : put b=1@3

            put d 1
            ----
            s1 w3 rev=4 : put d=1@4
            s1 w2 rev=4 : put d=1@4
            """)
    }

    @Test func watchesAreRefusedUnderTheIDOfNone() throws {
        try Transcript.check(
            """
            watch s=1 key=b end=a
            watch s=1 key=b end=b
            watch s=1 key=b start=-1
            refuse s=1 reason=denied
            ----
            s1 w-1 created canceled rev=1 'mvcc: watcher range is empty'
            s1 w-1 created canceled rev=1 'mvcc: watcher range is empty'
            s1 w-1 created canceled rev=1 'etcdserver: mvcc: required revision has been compacted'
            s1 w-1 created canceled rev=1 'denied'

            watch s=1 key=a id=3
            watch s=1 key=b id=3
            state
            ----
            s1 w3 created rev=1
            s1 w-1 created canceled rev=1 'mvcc: duplicate watch ID provided on the WatchStream'
            revision 1, 1 streams, 1 watchers, 0 slow, 0 events sent
            """)
    }

    @Test func idsAreChosenAroundThoseOfTheClient() throws {
        try Transcript.check(
            """
            watch s=1 key=a id=1
            watch s=1 key=a
            watch s=1 key=a
            watch s=2 key=a
            ----
            s1 w1 created rev=1
            s1 w0 created rev=1
            s1 w2 created rev=1
            s2 w0 created rev=1

            cancel s=1 id=2
            cancel s=1 id=9
            watch s=1 key=a
            ----
            s1 w2 canceled rev=1
            s1 w3 created rev=1

            put a 1
            ----
            s1 w1 rev=2 : put a=1@2
            s1 w0 rev=2 : put a=1@2
            s2 w0 rev=2 : put a=1@2
            s1 w3 rev=2 : put a=1@2
            """)
    }

    @Test func aStartInThePastIsReadFromHistory() throws {
        try Transcript.check(
            """
            put a 1
            put a 2
            txn delete a; put b 1
            ----

            watch s=1 key=a start=3
            watch s=2 key=a end=c start=2 prev
            state
            ----
            s1 w0 created rev=4
            s2 w0 created rev=4
            revision 4, 2 streams, 2 watchers, 2 slow, 0 events sent

            catchup
            state
            ----
            s1 w0 rev=4 : put a=2@3, delete a@4
            s2 w0 rev=4 : put a=1@2, put a=2@3 (was 1@2), delete a@4 (was 2@3), put b=1@4
            revision 4, 2 streams, 2 watchers, 0 slow, 6 events sent

            put a 3
            ----
            s1 w0 rev=5 : put a=3@5
            s2 w0 rev=5 : put a=3@5
            """)
    }

    @Test func aStartAheadWaitsForItsRevision() throws {
        try Transcript.check(
            """
            watch s=1 key=a start=4
            put a 2
            put a 3
            ----
            s1 w0 created rev=1

            put a 4
            ----
            s1 w0 rev=4 : put a=4@4
            """)
    }

    @Test func aStartAheadIsKeptThroughAGap() throws {
        try Transcript.check(
            """
            watch s=1 key=a start=4
            watch s=1 key=a
            unposted put a 2; put a 3; put a 4
            ----
            s1 w0 created rev=1
            s1 w1 created rev=1

            gap
            catchup
            put a 5
            ----
            s1 w1 rev=4 : put a=2@2, put a=3@3, put a=4@4
            s1 w0 rev=4 : put a=4@4
            s1 w0 rev=5 : put a=5@5
            s1 w1 rev=5 : put a=5@5
            """)
    }

    @Test func previousValuesAreForThoseWhoAsked() throws {
        try Transcript.check(
            """
            watch s=1 key=a prev
            watch s=2 key=a
            ----
            s1 w0 created rev=1
            s2 w0 created rev=1

            put a 1
            ----
            s1 w0 rev=2 : put a=1@2
            s2 w0 rev=2 : put a=1@2

            put a 2
            ----
            s1 w0 rev=3 : put a=2@3 (was 1@2)
            s2 w0 rev=3 : put a=2@3

            delete a
            ----
            s1 w0 rev=4 : delete a@4 (was 2@3)
            s2 w0 rev=4 : delete a@4

            put a 3
            ----
            s1 w0 rev=5 : put a=3@5
            s2 w0 rev=5 : put a=3@5
            """)
    }

    @Test func previousValuesBelowTheCompactedRevisionAreLeftOut() throws {
        try Transcript.check(
            """
            put a 1
            put a 2
            put a 3
            compact 3
            watch s=1 key=a start=3 prev
            catchup
            ----
            s1 w0 created rev=4
            s1 w0 rev=4 : put a=2@3, put a=3@4 (was 2@3)
            """)
    }

    @Test func filtersHideEvents() throws {
        try Transcript.check(
            """
            watch s=1 key=a noput
            watch s=1 key=a nodelete
            watch s=1 key=a noput nodelete
            ----
            s1 w0 created rev=1
            s1 w1 created rev=1
            s1 w2 created rev=1

            put a 1
            ----
            s1 w1 rev=2 : put a=1@2

            delete a
            ----
            s1 w0 rev=3 : delete a@3
            """)
    }

    @Test func aCompactedStartIsCanceled() throws {
        try Transcript.check(
            """
            put a 1
            put a 2
            put a 3
            compact 3
            ----

            watch s=1 key=a start=2
            catchup
            ----
            s1 w0 created rev=4
            s1 w0 canceled rev=0 compacted=3

            watch s=1 key=a start=3
            catchup
            state
            ----
            s1 w1 created rev=4
            s1 w1 rev=4 : put a=2@3, put a=3@4
            revision 4, 1 streams, 1 watchers, 0 slow, 2 events sent
            """)
    }

    @Test func aStreamThatIsNotReadIsSetAside() throws {
        try Transcript.check(
            """
            limits stream=100
            watch s=1 key=a
            watch s=2 key=a
            stall s=1
            ----
            s1 w0 created rev=1
            s2 w0 created rev=1

            put a a-value-that-is-rather-long-for-the-limit-of-the-stream-which-is-only-a-hundred-bytes
            put a 2
            put b 1
            put a 3
            state
            ----
            s1 w0 rev=2 : put a=a-value-that-is-rather-long-for-the-limit-of-the-stream-which-is-only-a-hundred-bytes@2
            s2 w0 rev=2 : put a=a-value-that-is-rather-long-for-the-limit-of-the-stream-which-is-only-a-hundred-bytes@2
            s2 w0 rev=3 : put a=2@3
            s2 w0 rev=5 : put a=3@5
            revision 5, 2 streams, 2 watchers, 1 slow, 4 events sent

            resume s=1
            state
            ----
            revision 5, 2 streams, 2 watchers, 1 slow, 4 events sent

            catchup
            put a 4
            state
            ----
            s1 w0 rev=5 : put a=2@3, put a=3@5
            s2 w0 rev=6 : put a=4@6
            s1 w0 rev=6 : put a=4@6
            revision 6, 2 streams, 2 watchers, 0 slow, 8 events sent
            """)
    }

    @Test func onlyTheWatchersWithEventsAreSetAside() throws {
        try Transcript.check(
            """
            limits stream=100
            watch s=1 key=a
            watch s=1 key=b
            stall s=1
            put a a-value-that-is-rather-long-for-the-limit-of-the-stream-which-is-only-a-hundred-bytes
            put a 2
            state
            ----
            s1 w0 created rev=1
            s1 w1 created rev=1
            s1 w0 rev=2 : put a=a-value-that-is-rather-long-for-the-limit-of-the-stream-which-is-only-a-hundred-bytes@2
            revision 3, 1 streams, 2 watchers, 1 slow, 1 events sent

            resume s=1
            put b 1
            catchup
            ----
            s1 w1 rev=4 : put b=1@4
            s1 w0 rev=4 : put a=2@3
            """)
    }

    @Test func compactionOvertakesAWatcherThatWasSetAside() throws {
        try Transcript.check(
            """
            limits stream=100
            watch s=1 key=a
            stall s=1
            put a a-value-that-is-rather-long-for-the-limit-of-the-stream-which-is-only-a-hundred-bytes
            put a 2
            put a 3
            compact 4
            state
            ----
            s1 w0 created rev=1
            s1 w0 rev=2 : put a=a-value-that-is-rather-long-for-the-limit-of-the-stream-which-is-only-a-hundred-bytes@2
            revision 4, 1 streams, 1 watchers, 1 slow, 1 events sent

            resume s=1
            catchup
            state
            ----
            s1 w0 canceled rev=0 compacted=4
            revision 4, 1 streams, 0 watchers, 0 slow, 1 events sent
            """)
    }

    @Test func theHubIsToldThatItMissedBatches() throws {
        try Transcript.check(
            """
            watch s=1 key=a
            watch s=2 key=a
            unposted put a 1; put b 1
            gap
            state
            ----
            s1 w0 created rev=1
            s2 w0 created rev=1
            revision 3, 2 streams, 2 watchers, 2 slow, 0 events sent

            put a 2
            state
            ----
            revision 4, 2 streams, 2 watchers, 2 slow, 0 events sent

            catchup
            put a 3
            state
            ----
            s1 w0 rev=4 : put a=1@2, put a=2@4
            s2 w0 rev=4 : put a=1@2, put a=2@4
            s1 w0 rev=5 : put a=3@5
            s2 w0 rev=5 : put a=3@5
            revision 5, 2 streams, 2 watchers, 0 slow, 6 events sent
            """)
    }

    @Test func aBatchThatDoesNotJoinOnIsAGap() throws {
        try Transcript.check(
            """
            watch s=1 key=a
            unposted put a 1
            newest put a 2
            state
            ----
            s1 w0 created rev=1
            revision 3, 1 streams, 1 watchers, 1 slow, 0 events sent

            catchup
            state
            ----
            s1 w0 rev=3 : put a=1@2, put a=2@3
            revision 3, 1 streams, 1 watchers, 0 slow, 2 events sent
            """)
    }

    @Test func batchesThatCameAlreadyArePassedOver() throws {
        try Transcript.check(
            """
            watch s=1 key=a
            put a 1
            put a 2
            again
            ----
            s1 w0 created rev=1
            s1 w0 rev=2 : put a=1@2
            s1 w0 rev=3 : put a=2@3
            """)
    }

    @Test func scansTakeTurnsInBoundedSteps() throws {
        try Transcript.check(
            """
            put a 1
            put a 2
            put a 3
            put a 4
            watch s=1 key=a start=2
            step budget=1
            step budget=1
            ----
            s1 w0 created rev=5
            s1 w0 rev=5 : put a=1@2
            s1 w0 rev=5 : put a=2@3

            watch s=2 key=a start=2
            watch s=3 key=a start=5
            step budget=1
            ----
            s2 w0 created rev=5
            s3 w0 created rev=5
            s2 w0 rev=5 : put a=1@2

            step budget=1
            ----
            s1 w0 rev=5 : put a=3@4

            catchup
            ----
            s2 w0 rev=5 : put a=2@3, put a=3@4, put a=4@5
            s1 w0 rev=5 : put a=4@5
            s3 w0 rev=5 : put a=4@5
            """)
    }

    @Test func watchersWaitForAFreeScan() throws {
        try Transcript.check(
            """
            limits scans=1
            put a 1
            put a 2
            put a 3
            watch s=1 key=a start=3
            watch s=2 key=a start=2
            state
            ----
            s1 w0 created rev=4
            s2 w0 created rev=4
            revision 4, 2 streams, 2 watchers, 2 slow, 0 events sent

            step budget=1
            ----
            s1 w0 rev=4 : put a=2@3

            step
            state
            ----
            s1 w0 rev=4 : put a=3@4
            revision 4, 2 streams, 2 watchers, 1 slow, 2 events sent

            catchup
            state
            ----
            s2 w0 rev=4 : put a=1@2, put a=2@3, put a=3@4
            revision 4, 2 streams, 2 watchers, 0 slow, 5 events sent
            """)
    }

    @Test func progressIsReportedWhenEveryWatcherIsSynced() throws {
        try Transcript.check(
            """
            open s=1
            progress s=1
            watch s=1 key=b
            progress s=1
            ----
            s1 w-1 rev=1
            s1 w0 created rev=1
            s1 w-1 rev=1

            put a 1
            put a 2
            watch s=1 key=a start=2
            progress s=1
            progress s=1
            ----
            s1 w1 created rev=3

            catchup
            ----
            s1 w1 rev=3 : put a=1@2, put a=2@3
            s1 w-1 rev=3
            """)
    }

    @Test func progressWaitsForTheStream() throws {
        try Transcript.check(
            """
            limits stream=100
            watch s=1 key=a
            stall s=1
            put a a-value-that-is-rather-long-for-the-limit-of-the-stream-which-is-only-a-hundred-bytes
            progress s=1
            state
            ----
            s1 w0 created rev=1
            s1 w0 rev=2 : put a=a-value-that-is-rather-long-for-the-limit-of-the-stream-which-is-only-a-hundred-bytes@2
            revision 2, 1 streams, 1 watchers, 0 slow, 1 events sent

            resume s=1
            ----
            s1 w-1 rev=2
            """)
    }

    @Test func canceledLaggardsDoNotHoldUpProgress() throws {
        try Transcript.check(
            """
            put a 1
            watch s=1 key=b
            watch s=1 key=a start=2
            progress s=1
            cancel s=1 id=1
            ----
            s1 w0 created rev=2
            s1 w1 created rev=2
            s1 w1 canceled rev=2
            s1 w-1 rev=2
            """)
    }

    @Test func idleWatchersAreToldTheRevision() throws {
        try Transcript.check(
            """
            watch s=1 key=a progress
            watch s=1 key=b progress
            watch s=1 key=c
            put a 1
            put z 1
            ----
            s1 w0 created rev=1
            s1 w1 created rev=1
            s1 w2 created rev=1
            s1 w0 rev=2 : put a=1@2

            tick s=1
            ----
            s1 w1 rev=3

            tick s=1
            ----
            s1 w0 rev=3
            s1 w1 rev=3
            """)
    }

    @Test func largeResponsesAreSplitForThoseWhoAsked() throws {
        try Transcript.check(
            """
            limits fragment=100
            watch s=1 key=a end=e fragment
            watch s=2 key=a end=e
            ----
            s1 w0 created rev=1
            s2 w0 created rev=1

            txn put a 1111111111; put b 2222222222; put c 3333333333; put d 4444444444
            ----
            s1 w0 fragment rev=2 : put a=1111111111@2, put b=2222222222@2, put c=3333333333@2
            s1 w0 rev=2 : put d=4444444444@2
            s2 w0 rev=2 : put a=1111111111@2, put b=2222222222@2, put c=3333333333@2, put d=4444444444@2
            """)
    }

    @Test func longBatchesBecomeSeveralResponses() throws {
        try Transcript.check(
            """
            limits response=20
            watch s=1 key=a
            batch put a 1111111111; put a 2222222222; put a 3333333333
            ----
            s1 w0 created rev=1
            s1 w0 rev=2 : put a=1111111111@2
            s1 w0 rev=3 : put a=2222222222@3
            s1 w0 rev=4 : put a=3333333333@4
            """)
    }

    @Test func aClosedStreamIsForgotten() throws {
        try Transcript.check(
            """
            watch s=1 key=a
            watch s=1 key=b start=1
            watch s=2 key=a
            close s=1
            ----
            s1 w0 created rev=1
            s1 w1 created rev=1
            s2 w0 created rev=1

            put a 1
            cancel s=1 id=0
            progress s=1
            state
            ----
            s2 w0 rev=2 : put a=1@2
            revision 2, 1 streams, 1 watchers, 0 slow, 1 events sent
            """)
    }

    // MARK: A leader's snapshot takes the store's place

    /// The store jumps ahead, as when a member installs a leader's snapshot: nobody misses an event, sees one twice or
    /// out of order, and who waits for a revision to come goes on waiting.
    @Test func watchersGoOnInAStoreThatJumpedAhead() throws {
        try Transcript.check(
            """
            put a 1
            watch s=1 key=a prev
            watch s=1 key=a start=2
            watch s=1 key=a start=6
            watch s=1 key=a start=20
            step budget=1
            ----
            s1 w0 created rev=2
            s1 w1 created rev=2
            s1 w2 created rev=2
            s1 w3 created rev=2
            s1 w1 rev=2 : put a=1@2

            unposted put a 2; put b 1; delete a; put a 3
            gap
            state
            ----
            revision 6, 1 streams, 4 watchers, 4 slow, 1 events sent

            progress s=1
            catchup
            state
            ----
            s1 w0 rev=6 : put a=2@3 (was 1@2), delete a@5 (was 2@3), put a=3@6
            s1 w1 rev=6 : put a=2@3, delete a@5, put a=3@6
            s1 w2 rev=6 : put a=3@6
            s1 w-1 rev=6
            revision 6, 1 streams, 4 watchers, 0 slow, 8 events sent

            put a 4
            ----
            s1 w0 rev=7 : put a=4@7 (was 3@6)
            s1 w2 rev=7 : put a=4@7
            s1 w1 rev=7 : put a=4@7
            """)
    }

    @Test func watchersWhoseRevisionsTheNewStoreHasCompactedAreCancelled() throws {
        try Transcript.check(
            """
            put a 1
            watch s=1 key=a
            watch s=1 key=a start=5
            watch s=1 key=a start=9
            ----
            s1 w0 created rev=2
            s1 w1 created rev=2
            s1 w2 created rev=2

            unposted put a 2; put a 3; put a 4; put a 5
            compact 5
            gap
            catchup
            ----
            s1 w0 canceled rev=0 compacted=5
            s1 w1 rev=6 : put a=4@5, put a=5@6
            """)
    }

    /// What was posted before the jump and is taken after it belongs to the past.
    @Test func commitsOfTheOldStoreThatComeLateAreNotToldTwice() throws {
        try Transcript.check(
            """
            put a 1
            watch s=1 key=a
            ----
            s1 w0 created rev=2

            unposted put a 2; put a 3
            gap
            again
            catchup
            again
            put a 4
            ----
            s1 w0 rev=4 : put a=2@3, put a=3@4
            s1 w0 rev=5 : put a=4@5
            """)
    }
}
