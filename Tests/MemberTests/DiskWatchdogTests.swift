import Testing

@testable import Member

/// When a silent disk counts as stalled (from 800 ms) and as lost (from 1000 ms).
@Suite struct DiskWatchdogTests {
    private enum Event {
        case orders(Int)
        case answer
        case fails(Int64)
        case is_(Int64, DiskWatchdog.State)
    }

    private func check(_ events: [Event], sourceLocation: SourceLocation = #_sourceLocation) {
        var watchdog = DiskWatchdog(electionMilliseconds: 1000)
        for event in events {
            switch event {
            case .orders(let count): watchdog.ordered(count)
            case .answer: watchdog.answered()
            case .fails(let now): watchdog.failed(now: now)
            case .is_(let now, let expected):
                #expect(watchdog.state(now: now) == expected, "at \(now)", sourceLocation: sourceLocation)
            }
        }
    }

    @Test func aDiskWithNothingToDoIsNotStalled() {
        check([.is_(0, .answering), .is_(5000, .answering), .orders(1), .answer, .is_(9000, .answering)])
    }

    @Test func silenceIsCountedFromTheFirstOrder() {
        check([
            .is_(0, .answering), .orders(1), .is_(100, .answering), .orders(1), .is_(500, .answering),
            .is_(899, .answering), .is_(900, .stalled(800)), .is_(1099, .stalled(999)), .is_(1100, .lost(1000)),
        ])
    }

    @Test func aSlowDiskThatGoesOnIsNotStalled() {
        check([
            .orders(3), .is_(0, .answering), .is_(700, .answering), .answer, .is_(750, .answering),
            .is_(1500, .answering), .answer, .is_(1540, .answering), .is_(2339, .answering), .is_(2340, .stalled(800)),
        ])
    }

    @Test func aStallEndsWithAnAnswer() {
        check([
            .orders(2), .is_(0, .answering), .is_(1500, .lost(1500)), .answer, .is_(1600, .answering), .answer,
            .is_(9000, .answering),
        ])
    }

    @Test func aDiskThatFailedStaysSilent() {
        check([
            .orders(1), .is_(0, .answering), .fails(10), .is_(10, .stalled(0)), .fails(500), .answer,
            .is_(1009, .stalled(999)), .is_(1010, .lost(1000)),
        ])
    }
}
