import Foundation
import GRPC
import NIOCore
import NIOEmbedded
import NIOPosix
import Synchronization
import Testing
import X509

@testable import TLS

/// Listeners and diallers over real sockets.
@Suite struct ConnectionTests {
    private let folder: TestFolder
    private let authority: TestAuthority
    private let authorityFile: String

    init() throws {
        folder = try TestFolder()
        authority = try TestAuthority()
        authorityFile = try folder.write("authority.crt", authority.certificate.serializeAsPEM().pemString)
    }

    /// Other tests may keep all threads busy for a while.
    private let patience = TimeAmount.minutes(10)

    private func server(hosts: [String] = ["127.0.0.1"]) throws -> TLSSettings {
        TLSSettings(identity: try folder.write(authority.issue("server", hosts: hosts), "server"))
    }

    private func client(_ name: String?) throws -> TLSSettings {
        var settings = TLSSettings()
        if let name { settings.identity = try folder.write(authority.issue(name), name) }
        settings.trustedCAFile = authorityFile
        return settings
    }

    /// Calls a method that answers with the common name that the server saw, or `-`.
    private func seen(by server: TLSSettings, of client: TLSSettings) async throws -> String {
        let group = MultiThreadedEventLoopGroup.singleton
        let rejected = Mutex<String?>(nil)
        var observer = ServerObserver()
        observer.connectionRejected = { _, reason in rejected.withLock { $0 = reason } }
        let serving = Server(
            group: group,
            methods: ["/t.T/Who": .unary { call, _ in call.respond(Array((call.peerIdentity ?? "-").utf8)) }],
            observer: observer)
        let listener = try TLSListener(server, protocols: ["h2", "http/1.1"], timeout: patience)
        let address = try await serving.bind(host: "127.0.0.1", port: 0, tls: listener)
        let result: Result<String, any Error>
        do {
            let dialler = try TLSDialler(client, protocols: ClientConnection.applicationProtocols)
            var configuration = ClientConnection.Configuration()
            configuration.connectTimeout = patience
            let connection = try await ClientConnection.connect(
                host: "127.0.0.1", port: address.port ?? 0, tls: dialler, group: group, configuration: configuration)
            let reply = try await connection.unary("/t.T/Who", [], timeout: patience)
            try await connection.close()
            result = .success(String(decoding: reply.message, as: UTF8.self))
        } catch {
            result = .failure(error)
        }
        try await serving.shutdown()
        #expect(listener.pending.count == 0)
        do {
            return try result.get()
        } catch {
            // In TLS 1.3 a client has done its part before the server has seen the certificate.
            throw Refused(client: "\(error)", server: rejected.withLock { $0 })
        }
    }

    private struct Refused: Error {
        var client: String
        var server: String?
    }

    @Test func theCommonNameCountsWhereACertificateIsDemanded() async throws {
        var settings = try server()
        #expect(try await seen(by: settings, of: client("alice")) == "-")
        settings.trustedCAFile = authorityFile
        #expect(try await seen(by: settings, of: client("alice")) == "-")
        settings.demandsCertificate = true
        #expect(try await seen(by: settings, of: client("alice")) == "alice")
    }

    private func refusal(by server: TLSSettings, of client: TLSSettings) async throws -> Refused {
        do {
            let name = try await seen(by: server, of: client)
            return Refused(client: "none: \(name)", server: nil)
        } catch let refused as Refused {
            return refused
        }
    }

    @Test func aClientWithoutACertificateIsRefused() async throws {
        var settings = try server()
        settings.trustedCAFile = authorityFile
        let refused = try await refusal(by: settings, of: client(nil))
        #expect(refused.server == "tls: client didn't provide a certificate")
    }

    @Test func aRevokedCertificateIsRefused() async throws {
        var settings = try server()
        settings.trustedCAFile = authorityFile
        let revoked = try authority.issue("revoked", serial: .init(bytes: [0x80, 1, 2] as [UInt8]))
        var maker = RevocationListMaker(serials: [[0, 0x80, 1, 2]])
        maker.hasExtensions = false
        let der = try maker.der()
        settings.revocationListFile = try folder.write(
            "crl", "-----BEGIN X509 CRL-----\n\(Data(der).base64EncodedString())\n-----END X509 CRL-----\n")
        var shown = try client(nil)
        shown.identity = try folder.write(revoked, "revoked")
        let refused = try await refusal(by: settings, of: shown)
        #expect(refused.server?.hasPrefix("transport: certificate serial ") == true)
        #expect(try await seen(by: settings, of: client("kept")) == "-")
    }

    @Test func aServerMustBeTheOneThatWasDialled() async throws {
        let elsewhere = try server(hosts: ["elsewhere.example"])
        let refused = try await refusal(by: elsewhere, of: client(nil))
        #expect(refused.client.contains("certificate is valid for elsewhere.example, not 127.0.0.1"))
        var named = try client(nil)
        named.serverName = "elsewhere.example"
        #expect(try await seen(by: elsewhere, of: named) == "-")
        var careless = TLSSettings()
        careless.skipsVerification = true
        #expect(try await seen(by: elsewhere, of: careless) == "-")
        var strict = try client(nil)
        strict.allowedCommonNames = ["another"]
        let other = try await refusal(by: server(), of: strict)
        #expect(other.client.contains("client certificate authentication failed"))
    }

    @Test func aServerMustBeTrusted() async throws {
        var distrustful = TLSSettings()
        distrustful.trustedCAFile = try folder.write(
            "other.crt", try TestAuthority("other").certificate.serializeAsPEM().pemString)
        let refused = try await refusal(by: server(), of: distrustful)
        #expect(refused.client.contains("certificate signed by unknown authority"))
        // The alert may be lost when the client closes the connection behind it; that it is over is known either way.
        #expect(refused.server != nil)
    }

    /// A thread that is kept from running between the two could come to wait for a handshake that is over.
    @Test func theWaitForTheHandshakeBeginsWithTheConnection() async throws {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let serving = Server(group: MultiThreadedEventLoopGroup.singleton, methods: [:])
        let address = try await serving.bind(
            host: "127.0.0.1", port: 0, tls: try TLSListener(server(), protocols: [], timeout: patience))
        let dialler = try TLSDialler(client(nil))
        let patience = patience
        let channel = try await TLSDialler.secured(on: loop) {
            #expect(loop.inEventLoop)
            return ClientBootstrap(group: loop).channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try dialler.secure(channel, host: "127.0.0.1", timeout: patience)
                }
            }.connect(to: address)
        }.get()
        try await channel.close()
        try await serving.shutdown()
    }

    @Test func aHandshakeThatDoesNotEndIsEnded() async throws {
        let rejected = AsyncStream.makeStream(of: String.self)
        var observer = ServerObserver()
        observer.connectionRejected = { _, reason in rejected.continuation.yield(reason) }
        let serving = Server(group: MultiThreadedEventLoopGroup.singleton, methods: [:], observer: observer)
        let listener = try TLSListener(server(), protocols: [], timeout: .milliseconds(50))
        let address = try await serving.bind(host: "127.0.0.1", port: 0, tls: listener)
        for greeting in [[], [22, 3, 1, 2, 0, 1]] as [[UInt8]] {
            let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .connect(to: address).get()
            // On a slow machine the end may come first.
            try? await channel.writeAndFlush(ByteBuffer(bytes: greeting)).get()
            try await channel.closeFuture.get()
            var reasons = rejected.stream.makeAsyncIterator()
            #expect(await reasons.next()?.hasPrefix("tls: handshake not finished within") == true)
        }
        try await serving.shutdown()
    }

    @Test func whatIsNoHandshakeIsRefusedAtItsFirstByte() async throws {
        let rejected = AsyncStream.makeStream(of: String.self)
        var observer = ServerObserver()
        observer.connectionRejected = { _, reason in rejected.continuation.yield(reason) }
        let serving = Server(group: MultiThreadedEventLoopGroup.singleton, methods: [:], observer: observer)
        let address = try await serving.bind(
            host: "127.0.0.1", port: 0, tls: try TLSListener(server(), protocols: [], timeout: patience))
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton).connect(to: address).get()
        try? await channel.writeAndFlush(ByteBuffer(string: "GET / HTTP/1.1\r\n")).get()
        try await channel.closeFuture.get()
        var reasons = rejected.stream.makeAsyncIterator()
        let reason = await reasons.next()
        #expect(reason == "tls: first record does not look like a TLS handshake")
        try await serving.shutdown()
    }

    @Test func theOldestOfTooManyHandshakesIsClosed() throws {
        let pending = PendingHandshakes(limit: 2)
        let channels = (0..<4).map { _ in EmbeddedChannel() }
        for channel in channels { try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait() }
        let numbers = channels[..<2].map { pending.add($0) }
        pending.remove(numbers[0])
        _ = pending.add(channels[2])
        #expect(channels.map(\.isActive) == [true, true, true, true])
        _ = pending.add(channels[3])
        #expect(channels.map(\.isActive) == [true, false, true, true])
        #expect(pending.count == 2)
    }
}
