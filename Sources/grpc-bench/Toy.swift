import GRPC
import Glibc
import NIOCore

/// Methods that show every kind of call to a client of another make. Requests and replies are plain bytes.
enum Toy {
    static let methods: [String: Method] = [
        "/toy.Toy/Echo": .unary { call, message in
            var trailers = Metadata()
            for (name, value) in call.metadata.fields where name.hasPrefix("x-") { trailers.add(name, value) }
            call.respond(message, trailers: trailers)
        },
        "/toy.Toy/Fail": .unary { call, message in
            call.fail(Status(.failedPrecondition, String(decoding: message, as: UTF8.self)))
        },
        "/toy.Toy/Never": .unary { call, _ in
            call.onCancel { log("Never: \($0)") }
        },
        "/toy.Toy/Count": .stream { Counter(call: $0) },
        "/toy.Toy/Sum": .stream { Summer(call: $0) },
        "/toy.Toy/Chat": .stream { Chat(call: $0) },
    ]

    /// Replies as many times as the length of the request says, as fast as the client reads.
    private final class Counter: StreamHandler {
        private let call: StreamCall
        private var left = 0
        private var body: [UInt8] = []
        init(call: StreamCall) { self.call = call }
        func received(_ message: [UInt8]) {
            left = message.reduce(0) { $0 << 8 | Int($1) }
            body = Array(repeating: 7, count: 1000)
            writable()
        }
        func halfClosed() {}
        func cancelled(_ reason: CancelReason) { log("Count: \(reason) with \(left) left") }
        func writable() {
            while left > 0, call.isWritable {
                left -= 1
                call.send(body)
            }
            if left == 0 { call.finish() }
        }
    }

    /// Replies with the number of bytes of all requests.
    private final class Summer: StreamHandler {
        private let call: StreamCall
        private var total = 0
        init(call: StreamCall) { self.call = call }
        func received(_ message: [UInt8]) { total += message.count }
        func halfClosed() {
            call.send(Array(String(total).utf8))
            call.finish()
        }
        func cancelled(_ reason: CancelReason) { log("Sum: \(reason)") }
        func writable() {}
    }

    /// Replies to every request with the same bytes.
    private final class Chat: StreamHandler {
        private let call: StreamCall
        init(call: StreamCall) { self.call = call }
        func received(_ message: [UInt8]) { call.send(message) }
        func halfClosed() { call.finish(.ok, trailers: ["x-end": "yes"]) }
        func cancelled(_ reason: CancelReason) { log("Chat: \(reason)") }
        func writable() {}
    }
}

private func log(_ text: String) {
    print(text)
    fflush(nil)
}
