import Configuration
import GRPC
import Logging
import Member
import Membership
import NIOCore

/// The sockets that clients come to: those of gRPC and HTTP, those of HTTP alone, and those of metrics.
struct ClientListeners {
    private let clients: [ListeningSocket]
    private let http: [ListeningSocket]
    private let monitoring: [ListeningSocket]

    /// Listens at all URLs of the configuration; nobody is answered yet.
    init(_ configuration: MemberConfiguration) throws(StartError) {
        clients = try Self.listen(configuration.listenClientURLs, configuration)
        http = try Self.listen(configuration.listenClientHTTPURLs, configuration)
        monitoring = try Self.listen(configuration.monitoring.listenURLs, configuration)
    }

    private static func listen(
        _ urls: [ServiceURL], _ configuration: MemberConfiguration
    ) throws(StartError) -> [ListeningSocket] {
        var sockets: [ListeningSocket] = []
        for url in urls { sockets.append(try ListeningSocket(url, configuration.sockets)) }
        return sockets
    }

    /// Has `server` answer clients. With URLs for HTTP alone, the others speak nothing but gRPC.
    func serve(_ server: Server, _ service: HTTPService, _ tls: MemberTLS, logger: Logger) async throws {
        for socket in clients {
            let isSplit = !http.isEmpty
            try await accept(socket, server, tls, isSplit ? "grpc" : "grpc+http", logger) { isSecure in
                Server.Endpoint(http: isSplit ? nil : service.handlers(isSecure: isSecure))
            }
        }
        for socket in http {
            try await accept(socket, server, tls, "http", logger) { isSecure in
                Server.Endpoint(servesGRPC: false, http: service.handlers(isSecure: isSecure))
            }
        }
    }

    /// Has `server` answer those who only ask how the member fares. They may do so before it serves clients: why a member
    /// does not come up is what they want to know.
    func serveMonitoring(
        _ server: Server, _ service: HTTPService, _ tls: MemberTLS, logger: Logger
    ) async throws {
        for socket in monitoring {
            try await accept(socket, server, tls, "metrics", logger) { _ in
                Server.Endpoint(servesGRPC: false, http: service.monitoring)
            }
        }
    }

    private func accept(
        _ socket: ListeningSocket, _ server: Server, _ tls: MemberTLS, _ traffic: String, _ logger: Logger,
        _ endpoint: (_ isSecure: Bool) -> Server.Endpoint
    ) async throws {
        let secured = try tls.forClients(socket.url)
        try await server.accept(from: socket.take(), tls: secured, for: endpoint(secured != nil))
        logger.info(
            secured == nil
                ? "serving client traffic insecurely; this is strongly discouraged!"
                : "serving client traffic securely",
            metadata: ["address": .string(socket.url.authority), "traffic": .string(traffic)])
    }
}
