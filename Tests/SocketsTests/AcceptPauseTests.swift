import Glibc
import NIOCore
import NIOPosix
import Testing

@testable import Sockets

@Suite struct AcceptPauseTests {
    @Test("A listener pauses when there are no descriptors left, and not for what concerns one connection")
    func errors() {
        for code in [EMFILE, ENFILE, ENOBUFS, ENOMEM] {
            #expect(AcceptPause.length(after: IOError(errnoCode: code, reason: "accept")) == AcceptPause.length)
        }
        for code in [ECONNABORTED, EPROTO, EINTR] {
            #expect(AcceptPause.length(after: IOError(errnoCode: code, reason: "accept")) == nil)
        }
    }

    @Test func listenersHaveIt() async throws {
        let group = MultiThreadedEventLoopGroup.singleton
        let bootstrap = ServerBootstrap(group: group).pausingWhenExhausted()
        let listener = try await bootstrap.bind(host: "127.0.0.1", port: 0).get()
        try await listener.pipeline.containsHandler(type: AcceptBackoffHandler.self).get()
        let channel = try await ClientBootstrap(group: group).connect(to: try #require(listener.localAddress)).get()
        try await channel.close()
        try await listener.close()
    }
}
