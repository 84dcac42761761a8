import Glibc
import Logging
import Membership
import NIOCore
import NIOHTTP1
import PeerProtocol

/// Asks a member now and then how it is, which shows the way there and back and how its clock goes. Belongs to the event
/// loop.
final class Prober {
    /// A difference of the clocks worth a warning, and the time between two warnings: etcd's.
    private static let warnedDrift: Int64 = 1_000_000_000
    private static let warningInterval = TimeAmount.seconds(30)
    private static let answerLimit = 4096

    private let id: UInt64
    private let picker: URLPicker
    private let core: TransportCore
    private let connection: RequestConnection
    private var lastProbe: NIODeadline?
    private var lastWarning: NIODeadline?

    init(_ id: UInt64, picker: URLPicker, core: TransportCore) {
        self.id = id
        self.picker = picker
        self.core = core
        connection = RequestConnection(dialer: core.dialer)
    }

    func tick(_ now: NIODeadline) {
        if connection.isBusy { return }
        if let lastProbe, now - lastProbe < PeerTimeout.probe { return }
        guard let url = picker.pick() else { return }
        lastProbe = now
        let question = RequestConnection.Question(
            method: .GET, path: "/raft/probing", headers: HTTPHeaders(to: url), body: nil,
            answerLimit: Self.answerLimit, timeout: PeerTimeout.probe)
        connection.ask(question, at: url) { [self] result in
            guard case .success(let answer) = result, answer.status == 200,
                let probe = ProbeAnswer(json: String(buffer: answer.body))
            else { return }
            let roundTrip = answer.roundTrip.nanoseconds
            // The answer was made about half a round trip ago.
            let drift = probe.unixNanoseconds - (UnixClock.nanoseconds - roundTrip / 2)
            core.peers[id]?.probed(roundTrip, drift: drift)
            warn(drift, roundTrip)
        }
    }

    private func warn(_ drift: Int64, _ roundTrip: Int64) {
        guard drift.magnitude > Self.warnedDrift.magnitude else { return }
        let now = NIODeadline.now()
        if let lastWarning, now - lastWarning < Self.warningInterval { return }
        lastWarning = now
        core.logger.warning(
            "prober found high clock drift",
            metadata: [
                "remote-peer-id": .string(Identity.text(id)), "clock-drift": .string(Self.text(drift)),
                "rtt": .string(Self.text(roundTrip)),
            ])
    }

    private static func text(_ nanoseconds: Int64) -> String { "\(Double(nanoseconds / 1000) / 1_000_000)s" }

    func stop() {
        connection.close()
    }
}

/// The machine's time of day.
enum UnixClock {
    /// Nanoseconds since 1970.
    static var nanoseconds: Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
