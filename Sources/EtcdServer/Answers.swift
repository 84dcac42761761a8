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

    /// Answers with a generated message, which is encoded on the event loop. Any thread.
    func reply(_ message: some SwiftProtobuf.Message) {
        eventLoop.execute { answering { respond(try message.serializedBytes()) } }
    }

    /// Answers with an error. Any thread.
    func reply(_ error: EtcdError) {
        eventLoop.execute { fail(Status(error)) }
    }
}
