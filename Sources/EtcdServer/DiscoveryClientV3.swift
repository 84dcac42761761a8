import Configuration
import Discovery
import EtcdAPI
import FoundationEssentials
import GRPC
import Logging
import Member
import Membership
import NIOCore
import NIOPosix
import SwiftProtobuf
import TLS

/// Carries out the steps of a version-3 discovery over gRPC.
final class DiscoveryClientV3 {
    private let service: DiscoveryService
    private let logger: Logger
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private var connection: ClientConnection?
    private var metadata = Metadata()
    /// The endpoint that is asked, among the service's.
    private var position = 0

    init(_ service: DiscoveryService, logger: Logger) {
        self.service = service
        self.logger = logger
    }

    /// Registers this member and waits for the others.
    func join(_ discovery: DiscoveryV3) async throws -> InitialCluster {
        logger.info(
            "discovering the cluster's members",
            metadata: [
                "discovery-token": .string(service.token),
                "discovery-endpoints": .string(service.endpoints.joined(separator: ",")),
            ])
        let outcome: Result<InitialCluster, any Error>
        do {
            outcome = .success(try await run(discovery))
        } catch {
            outcome = .failure(error)
        }
        await disconnect()
        try? await group.shutdownGracefully()
        return try outcome.get()
    }

    private func run(_ discovery: DiscoveryV3) async throws -> InitialCluster {
        var discovery = discovery
        var step = discovery.first
        while true {
            let answer: DiscoveryV3.Answer
            switch step {
            case .get(let key): answer = await read(key, isPrefix: false)
            case .getPrefix(let prefix): answer = await read(prefix, isPrefix: true)
            case .put(let key, let value): answer = await put(key, value)
            case .watchPrefix(let prefix, let since):
                MemberDiscovery.note(found: discovery.found, wanted: discovery.wanted, logger)
                answer = await watch(prefix, since: since)
            case .pause(let seconds, let reason):
                MemberDiscovery.notePause(seconds, reason, logger)
                try await Task.sleep(for: .seconds(seconds))
                answer = .nothing
            case .done(let cluster):
                logger.info(
                    "discovery joined cluster successfully", metadata: ["initial-cluster": .string(cluster.text)])
                return cluster
            case .failed(let error): throw StartError("\(error) (token \(service.token))")
            }
            step = discovery.next(answer)
        }
    }

    // MARK: Steps

    private func read(_ key: String, isPrefix: Bool) async -> DiscoveryV3.Answer {
        var request = Etcdserverpb_RangeRequest()
        request.key = Array(key.utf8).data
        if isPrefix { request.rangeEnd = Self.prefixEnd(key).data }
        let answer: Result<Etcdserverpb_RangeResponse, any Error> = await ask(.range, request)
        switch answer {
        case .success(let response):
            return .pairs(response.kvs.map(Self.pair), revision: response.header.revision)
        case .failure(let error): return .unreachable("\(error)")
        }
    }

    private func put(_ key: String, _ value: String) async -> DiscoveryV3.Answer {
        var request = Etcdserverpb_PutRequest()
        request.key = Array(key.utf8).data
        request.value = Array(value.utf8).data
        let answer: Result<Etcdserverpb_PutResponse, any Error> = await ask(.put, request)
        switch answer {
        case .success: return .done
        case .failure(let error): return .unreachable("\(error)")
        }
    }

    private func watch(_ prefix: String, since: Int64) async -> DiscoveryV3.Answer {
        do {
            let connection = try await connected()
            var create = Etcdserverpb_WatchCreateRequest()
            create.key = Array(prefix.utf8).data
            create.rangeEnd = Self.prefixEnd(prefix).data
            create.startRevision = since
            var request = Etcdserverpb_WatchRequest()
            request.createRequest = create
            let bytes: [UInt8] = try request.serializedBytes()
            let promise = connection.eventLoop.makePromise(of: Etcdserverpb_WatchResponse.self)
            let call = connection.stream(EtcdMethod.watch.path, metadata: metadata) { _ in FirstEvents(promise) }
            call.send(bytes)
            defer { call.cancel() }
            let response = try await promise.futureResult.get()
            let puts = response.events.filter { $0.type == .put }.map { Self.pair($0.kv) }
            return .pairs(puts, revision: response.events.last?.kv.modRevision ?? response.header.revision)
        } catch {
            await giveUpEndpoint()
            return .unreachable("\(error)")
        }
    }

    private static func pair(_ pair: Mvccpb_KeyValue) -> DiscoveryV3.Pair {
        DiscoveryV3.Pair(
            key: String(decoding: pair.key, as: UTF8.self), value: String(decoding: pair.value, as: UTF8.self),
            createRevision: pair.createRevision)
    }

    private static func prefixEnd(_ prefix: String) -> [UInt8] {
        var end = Array(prefix.utf8)
        // The prefixes end in ASCII, which is never the greatest byte.
        end[end.count - 1] += 1
        return end
    }

    // MARK: The connection

    private func ask<Request: SwiftProtobuf.Message, Response: SwiftProtobuf.Message>(
        _ method: EtcdMethod, _ request: Request
    ) async -> Result<Response, any Error> {
        do {
            let connection = try await connected()
            let reply = try await connection.unary(
                method.path, request.serializedBytes(), metadata: metadata,
                timeout: .milliseconds(service.requestTimeoutMilliseconds))
            return .success(try Response(serializedBytes: reply.message))
        } catch {
            await giveUpEndpoint()
            return .failure(error)
        }
    }

    private func connected() async throws -> ClientConnection {
        if let connection { return connection }
        let endpoint = service.endpoints[position % service.endpoints.count]
        var settings = ClientConnection.Configuration()
        settings.connectTimeout = .milliseconds(service.dialTimeoutMilliseconds)
        settings.keepaliveInterval = .milliseconds(service.keepaliveMilliseconds)
        settings.keepaliveTimeout = .milliseconds(service.keepaliveTimeoutMilliseconds)
        let url = try self.url(of: endpoint)
        let tls = url.scheme == .https || url.scheme == .unixs ? try dialler() : nil
        let made =
            switch url.scheme {
            case .http, .https:
                try await ClientConnection.connect(
                    host: url.host, port: url.port, tls: tls, group: group, configuration: settings)
            case .unix, .unixs:
                try await ClientConnection.connect(
                    unixDomainSocketPath: url.host, tls: tls, group: group, configuration: settings)
            }
        connection = made
        if !service.jsonWebToken.isEmpty {
            metadata = Metadata()
            metadata.add("token", service.jsonWebToken)
        } else if !service.user.isEmpty {
            try await authenticate(made)
        }
        return made
    }

    private func url(of endpoint: String) throws -> ServiceURL {
        if endpoint.contains("://") { return try ServiceURL(parsing: endpoint) }
        let hasFiles = !service.certificateFile.isEmpty || !service.trustedCAFile.isEmpty
        return try ServiceURL(parsing: (hasFiles || !service.isInsecure ? "https://" : "http://") + endpoint)
    }

    private func dialler() throws -> TLSDialler {
        var settings = TLSSettings(
            identity: .init(certificateFile: service.certificateFile, keyFile: service.keyFile))
        settings.trustedCAFile = service.trustedCAFile
        settings.skipsVerification = service.skipsVerification
        settings.serverName = service.serverName
        return try TLSDialler(settings, protocols: ClientConnection.applicationProtocols)
    }

    private func authenticate(_ connection: ClientConnection) async throws {
        metadata = Metadata()
        var request = Etcdserverpb_AuthenticateRequest()
        request.name = service.user
        request.password = service.password
        let reply = try await connection.unary(
            EtcdMethod.authenticate.path, request.serializedBytes(),
            timeout: .milliseconds(service.requestTimeoutMilliseconds))
        let response = try Etcdserverpb_AuthenticateResponse(serializedBytes: reply.message)
        metadata.add("token", response.token)
    }

    /// Another endpoint is asked next.
    private func giveUpEndpoint() async {
        await disconnect()
        position += 1
    }

    private func disconnect() async {
        connection?.closeWhenIdle()
        connection = nil
    }

    /// Hears a watch up to its first events.
    private final class FirstEvents: ClientStreamHandler, @unchecked Sendable {
        private let promise: EventLoopPromise<Etcdserverpb_WatchResponse>

        init(_ promise: EventLoopPromise<Etcdserverpb_WatchResponse>) {
            self.promise = promise
        }

        func receivedHeaders(_ metadata: Metadata) {}
        func writable() {}

        func received(_ message: [UInt8]) {
            do {
                let response = try Etcdserverpb_WatchResponse(serializedBytes: message)
                if response.canceled {
                    promise.fail(StartError("the watch was cancelled: \(response.cancelReason)"))
                } else if !response.events.isEmpty {
                    promise.succeed(response)
                }
            } catch {
                promise.fail(error)
            }
        }

        func finished(_ status: Status, trailers: Metadata) { promise.fail(status) }
    }
}

extension [UInt8] {
    fileprivate var data: Data { Data(self) }
}
