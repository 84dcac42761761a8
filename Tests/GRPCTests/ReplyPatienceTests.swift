import GRPC
import NIOCore
import NIOEmbedded
import Testing

/// How long a client may take over the pieces of a reply.
@Suite struct ReplyPatienceTests {
    private let loop = EmbeddedEventLoop()

    private func patience(_ limits: ReplyPatience.Limits, _ told: Box<Int>) -> ReplyPatience {
        ReplyPatience(loop, limits) { told.value += 1 }
    }

    @Test func whoTakesNothingIsTooSlow() {
        let told = Box(0)
        let patience = patience(ReplyPatience.Limits(piece: .seconds(60)), told)
        loop.advanceTime(by: .seconds(59))
        #expect(told.value == 0)
        loop.advanceTime(by: .seconds(1))
        #expect(told.value == 1)
        loop.advanceTime(by: .hours(1))
        #expect(told.value == 1)
        patience.end()
    }

    @Test func eachPieceBeginsTheWaitAnew() {
        let told = Box(0)
        let patience = patience(ReplyPatience.Limits(piece: .seconds(60)), told)
        for _ in 0..<100 {
            loop.advanceTime(by: .seconds(50))
            patience.note()
        }
        #expect(told.value == 0)
        loop.advanceTime(by: .seconds(60))
        #expect(told.value == 1)
    }

    @Test func allPiecesHaveALimitToo() {
        let told = Box(0)
        let patience = patience(ReplyPatience.Limits(piece: .seconds(60), whole: .seconds(170)), told)
        for _ in 0..<3 {
            loop.advanceTime(by: .seconds(50))
            patience.note()
        }
        loop.advanceTime(by: .seconds(19))
        #expect(told.value == 0)
        loop.advanceTime(by: .seconds(1))
        #expect(told.value == 1)
    }

    @Test func nobodyIsToldAfterTheEnd() {
        let told = Box(0)
        let patience = patience(ReplyPatience.Limits(piece: .seconds(60)), told)
        patience.end()
        loop.advanceTime(by: .hours(1))
        #expect(told.value == 0)
    }
}
