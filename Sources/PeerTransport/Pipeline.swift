import Logging
import NIOCore
import NIOHTTP1
import PeerProtocol
import RaftMessages

/// Posts messages one by one to a member that has not opened its streams. Belongs to the event loop.
final class Pipeline {
    /// Posts under way at a time, and messages that wait for their turn: etcd's.
    private static let connectionCount = 4
    private static let waitingLimit = 64
    /// What the answer to a post may be at most; it is empty or one line.
    private static let answerLimit = 64 << 10

    private let id: UInt64
    private let picker: URLPicker
    private let core: TransportCore
    private let connections: [RequestConnection]
    private var waiting: [Message] = []
    private var isStopped = false

    init(_ id: UInt64, picker: URLPicker, core: TransportCore) {
        self.id = id
        self.picker = picker
        self.core = core
        connections = (0..<Self.connectionCount).map { _ in RequestConnection(dialer: core.dialer) }
    }

    private var peer: Peer? { core.peers[id] }

    func send(_ message: Message) {
        guard message.type != .snapshot else { return core.events.snapshotReported(id, false) }
        if let connection = connections.first(where: { !$0.isBusy }) {
            post(message, on: connection)
        } else if waiting.count < Self.waitingLimit {
            waiting.append(message)
        } else {
            core.logger.debug(
                "dropped internal Raft message since sending buffer is full",
                metadata: [
                    "message-type": .string("\(message.type)"), "remote-peer-id": .string(String(id, radix: 16)),
                    "remote-peer-name": "pipeline",
                ])
            lost()
        }
    }

    private func lost() {
        if let peer { peer.lost() } else { core.events.unreachable(id) }
    }

    private func post(_ message: Message, on connection: RequestConnection) {
        guard let url = picker.pick() else { return lost() }
        var headers = core.headers(to: url)
        headers.add(name: "Content-Type", value: "application/protobuf")
        let body = ByteBuffer(bytes: message.encoded())
        // A second more for each MiB.
        let question = RequestConnection.Question(
            method: .POST, path: "/raft", headers: headers, body: body, answerLimit: Self.answerLimit,
            timeout: .milliseconds(core.settings.writeTimeout) + .seconds(Int64(body.readableBytes >> 20)))
        connection.ask(question, at: url) { [self] result in
            guard !isStopped else { return }
            do throws(TransportError) {
                try PostAnswer.check(result)
                peer?.activate()
                peer?.sent(body.readableBytes)
            } catch {
                picker.unreachable(url)
                if PostAnswer.saysRemoved(result) { core.reportRemoval() }
                peer?.deactivate("write \(message.type) by pipeline", error)
                peer?.complain(error)
                lost()
            }
            if !waiting.isEmpty { post(waiting.removeFirst(), on: connection) }
        }
    }

    func tick(_ now: NIODeadline) {
        for connection in connections { connection.closeIfIdle(now, limit: PeerTimeout.idlePost) }
    }

    func stop() {
        isStopped = true
        waiting = []
        for connection in connections { connection.close() }
    }
}

/// What the answer to a posted message or snapshot means.
enum PostAnswer {
    /// Throws unless the member took what was posted.
    static func check(_ result: Result<RequestConnection.Answer, any Error>) throws(TransportError) {
        switch result {
        case .success(let answer):
            if answer.status != 204 { throw .status(Int(answer.status), String(buffer: answer.body)) }
        case .failure(let error):
            if let error = error as? TransportError { throw error }
            throw .connect("\(error)")
        }
    }

    /// Whether the member refused because this one was removed. Other uses of the status must not end this member.
    static func saysRemoved(_ result: Result<RequestConnection.Answer, any Error>) -> Bool {
        guard case .success(let answer) = result, answer.status == 403 else { return false }
        return String(buffer: answer.body).contains(PeerRefusal.removedSender)
    }
}
