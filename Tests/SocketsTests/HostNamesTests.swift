import Dispatch
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import Sockets

@Suite struct HostNamesTests {
    private let loop = MultiThreadedEventLoopGroup.singleton.next()

    /// A name server that is silent about `slow.example` until it is told otherwise, and knows this host by any other name.
    private final class Servers: Sendable {
        let asked = Mutex<[String]>([])
        let silence = DispatchSemaphore(value: 0)

        func lookUp(_ host: String, _ port: Int) -> Result<[SocketAddress], any Error> {
            asked.withLock { $0.append(host) }
            if host == "slow.example" { silence.wait() }
            return Result { [try SocketAddress(ipAddress: "127.0.0.1", port: port)] }
        }
    }

    private func connect(_ names: HostNames, _ host: String, _ port: Int) -> EventLoopFuture<any Channel> {
        let loop = loop
        return loop.flatSubmit {
            names.connect(ClientBootstrap(group: loop).connectTimeout(.minutes(10)), host: host, port: port)
        }
    }

    @Test("A name that nobody answers for holds up no other, and is asked for once")
    func silentServer() async throws {
        let listener = try await ServerBootstrap(group: loop).bind(host: "127.0.0.1", port: 0).get()
        let port = try #require(listener.localAddress?.port)
        let servers = Servers()
        let names = HostNames(loop: loop) { servers.lookUp($0, $1) }
        let slow = (0..<3).map { _ in connect(names, "slow.example", port) }
        try await connect(names, "other.example", port).get().close()
        try await connect(names, "127.0.0.1", port).get().close()
        servers.silence.signal()
        for connection in slow { try await connection.get().close() }
        #expect(servers.asked.withLock { $0.sorted() } == ["other.example", "slow.example"], "addresses are no names")
        try await connect(names, "other.example", port).get().close()
        #expect(servers.asked.withLock { $0.count } == 3, "what was found is not kept: hosts move")
        try await listener.close()
    }

    @Test("There are bounds to what is looked up at a time, and an end")
    func bounds() async throws {
        let silence = DispatchSemaphore(value: 0)
        let names = HostNames(loop: loop) { _, _ in
            silence.wait()
            return .success([])
        }
        let waiting = (0..<HostNames.limit).map { connect(names, "h\($0).example", 1) }
        await #expect(throws: NIOConnectionError.self) { try await connect(names, "more.example", 1).get() }
        try await loop.submit { names.stop() }.get()
        for connection in waiting {
            await #expect(throws: NIOConnectionError.self) { try await connection.get() }
        }
        // Threads that find nobody left to tell.
        for _ in 0..<HostNames.limit { silence.signal() }
    }

    @Test("The system finds this host, and says what it does not find")
    func system() throws {
        let found = try HostNames.system("localhost", 80).get()
        #expect(!found.isEmpty && found.allSatisfy { $0.port == 80 })
        #expect(throws: HostNames.Refused.self) { try HostNames.system("no host", 80).get() }
    }
}
