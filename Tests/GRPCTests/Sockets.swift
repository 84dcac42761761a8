import Foundation
import NIOPosix
import Synchronization

@testable import GRPC

/// What tests with real sockets share.
enum MultiThreaded {
    static let group = MultiThreadedEventLoopGroup.singleton
}

/// A path for a Unix domain socket that nobody else uses.
func temporarySocket() -> String {
    FileManager.default.temporaryDirectory.appendingPathComponent("grpc-\(UUID().uuidString).sock").path
}

/// Hands calls from a method to a test.
final class Held: Sendable {
    private let calls: AsyncStream<UnaryCall>
    private let continuation: AsyncStream<UnaryCall>.Continuation

    init() { (calls, continuation) = AsyncStream.makeStream() }

    func put(_ call: UnaryCall) { continuation.yield(call) }

    func take() async -> UnaryCall {
        for await call in calls { return call }
        preconditionFailure("the stream of calls ended")
    }
}
