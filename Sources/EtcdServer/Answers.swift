import EtcdAPI
import GRPC
import NIOCore
import SwiftProtobuf

extension UnaryCall {
    /// Runs `body` and answers with the error that it throws. On the call's event loop.
    func answering(_ body: () throws -> Void) {
        do {
            try body()
        } catch let error as EtcdError {
            fail(Status(error))
        } catch {
            fail(Status(.internal, "grpc: error unmarshalling request: \(error)"))
        }
    }

    /// Whether `message` is a request of this kind, which asks nothing further; when not, the call is answered.
    func accepts<Request: SwiftProtobuf.Message>(_ kind: Request.Type, _ message: [UInt8]) -> Bool {
        guard !message.isEmpty else { return true }
        var isRequest = false
        answering {
            _ = try Request(serializedBytes: message)
            isRequest = true
        }
        return isRequest
    }

    /// Answers with a generated message, which is encoded on the event loop. Any thread.
    func reply(_ message: some SwiftProtobuf.Message) {
        eventLoop.execute { answering { respond(try message.serializedBytes()) } }
    }

    /// Answers with an error. Any thread.
    func reply(_ error: EtcdError) {
        eventLoop.execute { fail(Status(error)) }
    }
}
