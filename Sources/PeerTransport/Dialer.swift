import Glibc
import Membership
import NIOCore
import NIOHTTP1
import NIOPosix
import Sockets
import TLS

/// Connects to members.
struct Dialer {
    let loop: any EventLoop
    let names: HostNames
    let timeout: TimeAmount
    /// For members whose URLs ask for it.
    let tls: TLSDialler?
    /// Where connections come from; nil for the system's choice.
    let localAddress: String?

    /// Connects to `url` and puts HTTP and then `handler` on the connection.
    func connect(
        to url: ServiceURL, handler: some ChannelHandler & Sendable
    ) -> EventLoopFuture<any Channel> {
        let isSecure = url.scheme == .https || url.scheme == .unixs
        if isSecure, tls == nil {
            return loop.makeFailedFuture(TransportError.url("no TLS for peers is configured: \(url.text)"))
        }
        let tls = isSecure ? tls : nil
        // A certificate names hosts, and a socket is on this one.
        let host = url.scheme == .https ? url.host : "localhost"
        let connect = { @Sendable in
            let bootstrap = ClientBootstrap(group: loop)
                .connectTimeout(timeout)
                .channelOption(.socketOption(.so_keepalive), value: 1)
                // The selector reports what is left after one read, so asking again at once is a system call for nothing.
                .channelOption(.maxMessagesPerRead, value: 1)
                .channelOption(.recvAllocator, value: Self.receiveBuffers)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try tls?.secure(channel, host: host, timeout: timeout)
                        try channel.pipeline.syncOperations.addHTTPClientHandlers()
                        try channel.pipeline.syncOperations.addHandler(handler)
                    }
                }
            return open(bootstrap, url)
        }
        return tls == nil ? connect() : TLSDialler.secured(on: loop, connect)
    }

    private func open(_ bootstrap: ClientBootstrap, _ url: ServiceURL) -> EventLoopFuture<any Channel> {
        switch url.scheme {
        case .unix, .unixs: return bootstrap.connect(unixDomainSocketPath: url.host)
        case .http, .https: break
        }
        guard let localAddress else { return names.connect(bootstrap, host: url.host, port: url.port) }
        do {
            let address = try SocketAddress(ipAddress: localAddress, port: 0)
            return names.connect(bootstrap.bind(to: address), host: url.host, port: url.port)
        } catch {
            return loop.makeFailedFuture(error)
        }
    }

    /// Whether `error` says that nothing listens at any address of the host.
    static func isRefusal(_ error: any Error) -> Bool {
        if let error = error as? IOError { return error.errnoCode == ECONNREFUSED }
        guard let error = error as? NIOConnectionError, !error.connectionErrors.isEmpty else { return false }
        return error.connectionErrors.allSatisfy { isRefusal($0.error) }
    }

    /// Reads of up to 64 KiB, as etcd's.
    static let receiveBuffers = AdaptiveRecvByteBufferAllocator(minimum: 1024, initial: 16384, maximum: 65536)
}

extension HTTPHeaders {
    /// The headers of a request to `url`.
    init(to url: ServiceURL) {
        self.init()
        add(name: "Host", value: url.scheme == .http || url.scheme == .https ? url.authority : "localhost")
    }
}
