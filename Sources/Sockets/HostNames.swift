import Glibc
import NIOCore
import NIOPosix
import Synchronization

/// Finds the addresses of hosts, for connections of one event loop.
///
/// NIO's own way looks up one name after the other, and a name server that does not answer holds each up for half a minute:
/// one host whose name cannot be found would keep all others from being reached. Here every name is looked up by itself,
/// once for all who ask meanwhile, and addresses are not looked up at all.
///
/// Belongs to the event loop.
public final class HostNames: @unchecked Sendable {
    /// The addresses of a host, at a port; called on a thread that may wait.
    public typealias Lookup = @Sendable (_ host: String, _ port: Int) -> Result<[SocketAddress], any Error>

    /// Why a name is not looked up.
    public struct Refused: Error, CustomStringConvertible {
        public let description: String
    }

    /// Names that are looked up at a time, each by a thread of its own: more than a cluster has members.
    static let limit = 64

    private struct Name: Hashable {
        var host: String
        var port: Int
    }

    private let loop: any EventLoop
    private let lookup: Lookup
    private var underWay: [Name: EventLoopPromise<[SocketAddress]>] = [:]
    /// The event loop may be gone, so a lookup that ends is not told of any more.
    private let isStopped = Mutex(false)

    /// - Parameter lookup: how names are looked up.
    public init(loop: any EventLoop, lookup: @escaping Lookup = HostNames.system) {
        self.loop = loop
        self.lookup = lookup
    }

    /// Connects to `port` of `host`, a name or an address.
    public func connect(_ bootstrap: ClientBootstrap, host: String, port: Int) -> EventLoopFuture<any Channel> {
        loop.preconditionInEventLoop()
        if let address = try? SocketAddress(ipAddress: host, port: port) { return bootstrap.connect(to: address) }
        return bootstrap.resolver(Answer(addresses: addresses(of: host, port))).connect(host: host, port: port)
    }

    /// The addresses of a name.
    func addresses(of host: String, _ port: Int) -> EventLoopFuture<[SocketAddress]> {
        let name = Name(host: host, port: port)
        if let promise = underWay[name] { return promise.futureResult }
        guard underWay.count < Self.limit, !isStopped.withLock({ $0 }) else {
            return loop.makeFailedFuture(Refused(description: "lookup \(host): too many names are being looked up"))
        }
        let promise = loop.makePromise(of: [SocketAddress].self)
        underWay[name] = promise
        let isBegun = Worker.detach { [self] in
            let found = lookup(host, port)
            // Under the lock, so that the event loop is there.
            isStopped.withLock { isStopped in
                if !isStopped { loop.execute { self.ended(name, found) } }
            }
        }
        if !isBegun { ended(name, .failure(Refused(description: "lookup \(host): the system gives no thread"))) }
        return promise.futureResult
    }

    private func ended(_ name: Name, _ found: Result<[SocketAddress], any Error>) {
        underWay.removeValue(forKey: name)?.completeWith(found)
    }

    /// Fails what is under way. On the event loop, before that ends.
    public func stop() {
        isStopped.withLock { $0 = true }
        for promise in underWay.values { promise.fail(Refused(description: "stopped")) }
        underWay = [:]
    }

    /// Looks a name up by the system's means.
    public static let system: Lookup = { host, port in
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_protocol = Int32(IPPROTO_TCP)
        var list: UnsafeMutablePointer<addrinfo>?
        let result = getaddrinfo(host, String(port), &hints, &list)
        guard result == 0 else {
            return .failure(Refused(description: "lookup \(host): \(String(cString: gai_strerror(result)))"))
        }
        defer { freeaddrinfo(list) }
        var addresses: [SocketAddress] = []
        var next = list
        while let entry = next {
            let address = UnsafeRawPointer(entry.pointee.ai_addr)
            switch entry.pointee.ai_family {
            case AF_INET: if let address { addresses.append(.init(address.load(as: sockaddr_in.self), host: host)) }
            case AF_INET6: if let address { addresses.append(.init(address.load(as: sockaddr_in6.self), host: host)) }
            default: break
            }
            next = entry.pointee.ai_next
        }
        return .success(addresses)
    }
}

/// What NIO asks for the addresses of one connection.
private struct Answer: Resolver, Sendable {
    let addresses: EventLoopFuture<[SocketAddress]>

    func initiateAQuery(host: String, port: Int) -> EventLoopFuture<[SocketAddress]> { only(.inet) }
    func initiateAAAAQuery(host: String, port: Int) -> EventLoopFuture<[SocketAddress]> { only(.inet6) }
    func cancelQueries() {}

    private func only(_ family: NIOBSDSocket.ProtocolFamily) -> EventLoopFuture<[SocketAddress]> {
        addresses.map { $0.filter { $0.protocol == family } }
    }
}

/// A thread that does one thing.
private final class Worker: Sendable {
    private let body: @Sendable () -> Void

    private init(_ body: @escaping @Sendable () -> Void) { self.body = body }

    /// Runs `body` on a new thread; false when the system gives none.
    static func detach(_ body: @escaping @Sendable () -> Void) -> Bool {
        let worker = Unmanaged.passRetained(Worker(body))
        var handle = pthread_t()
        let result = pthread_create(
            &handle, nil,
            { argument in
                if let argument { Unmanaged<Worker>.fromOpaque(argument).takeRetainedValue().body() }
                return nil
            }, worker.toOpaque())
        guard result == 0 else {
            worker.release()
            return false
        }
        pthread_detach(handle)
        return true
    }
}
