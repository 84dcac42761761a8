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

    /// Answers with a generated message. Any thread.
    func reply(_ message: some SwiftProtobuf.Message) {
        let result = Result<[UInt8], any Error> { try message.serializedBytes() }
        eventLoop.execute { answering { respond(try result.get()) } }
    }

    /// Answers with an error. Any thread.
    func reply(_ error: EtcdError) {
        eventLoop.execute { fail(Status(error)) }
    }
}
