import NIOCore
import NIOSSL
import NIOTLS
import X509

/// TLS for connections that are made to others.
public final class TLSDialler: Sendable {
    private let settings: TLSSettings
    private let source: MaterialSource

    /// Reads what `settings` name. `complain` hears of files that turn out to be of no use later on.
    /// - Parameter protocols: what is offered to speak; nothing is said when empty.
    public init(
        _ settings: TLSSettings, protocols: [String] = [], complain: @escaping @Sendable (String) -> Void = { _ in }
    ) throws(TLSError) {
        self.settings = settings
        source = try MaterialSource(settings, role: .dialler(protocols: protocols), complain: complain)
    }

    /// Puts TLS on `channel`, on its event loop, before anything else is in its pipeline. A channel whose handshake fails,
    /// or takes longer than `timeout`, is closed.
    /// - Parameter host: whom the certificate must be for, unless the settings say otherwise.
    public func secure(_ channel: any Channel, host: String, timeout: TimeAmount) throws {
        let materials = source.current()
        let name = settings.serverName.isEmpty ? host : settings.serverName
        // Addresses are not told; they are no names.
        let told = HostAddress(name) == nil && !name.isEmpty ? name : nil
        let gate = DiallerGate(
            promise: channel.eventLoop.makePromise(of: Void.self), timeout: timeout, settings: settings, name: name)
        let handler: NIOSSLClientHandler
        if let verifier = materials.verifier {
            let loop = channel.eventLoop
            handler = try NIOSSLClientHandler(
                context: materials.context, serverHostname: told,
                customVerificationCallback: { certificates, promise in
                    let presented = certificates.compactMap { try? $0.toDERBytes() }
                    Task {
                        var refusal: ChainVerifier.Refusal?
                        do throws(ChainVerifier.Refusal) {
                            try await verifier.verify(presented)
                        } catch {
                            refusal = error
                        }
                        loop.execute { [refusal] in
                            gate.refusal = refusal
                            promise.succeed(refusal == nil ? .certificateVerified : .failed)
                        }
                    }
                })
        } else {
            handler = try NIOSSLClientHandler(context: materials.context, serverHostname: told)
        }
        try channel.pipeline.syncOperations.addHandlers([handler, gate])
    }

    /// Succeeds when the handshake on the channel that `connect` makes is done and the other side's certificate is good.
    /// - Parameter connect: is called on `loop`, which must be the channel's: on any other thread a handshake could be over
    ///   before anybody waits for its end.
    public static func secured(
        on loop: any EventLoop, _ connect: @escaping @Sendable () -> EventLoopFuture<any Channel>
    ) -> EventLoopFuture<any Channel> {
        loop.flatSubmit {
            connect().flatMap { channel in
                guard let gate = try? channel.pipeline.syncOperations.handler(type: DiallerGate.self) else {
                    return loop.makeFailedFuture(ChainVerifier.Refusal(description: "EOF"))
                }
                return gate.promise.futureResult.map { channel }
            }
        }
    }
}

/// Stands on a connection until its TLS handshake is done. Belongs to the channel's event loop.
private final class DiallerGate: ChannelInboundHandler, RemovableChannelHandler, @unchecked Sendable {
    typealias InboundIn = ByteBuffer

    let promise: EventLoopPromise<Void>
    /// Why the certificate was not taken; the library knows only that it was not.
    var refusal: ChainVerifier.Refusal?
    private let timeout: TimeAmount
    private let settings: TLSSettings
    private let name: String
    private var deadline: Scheduled<Void>?
    private var isOver = false

    init(promise: EventLoopPromise<Void>, timeout: TimeAmount, settings: TLSSettings, name: String) {
        self.promise = promise
        self.timeout = timeout
        self.settings = settings
        self.name = name
    }

    func handlerAdded(context: ChannelHandlerContext) {
        // A channel that never connects is closed, which ends the wait as well.
        let channel = context.channel
        channel.closeFuture.whenComplete { [self] _ in end(ChainVerifier.Refusal(description: "EOF")) }
        if context.channel.isActive { start(context) }
    }

    func channelActive(context: ChannelHandlerContext) {
        start(context)
        context.fireChannelActive()
    }

    private func start(_ context: ChannelHandlerContext) {
        guard deadline == nil, !isOver else { return }
        let channel = context.channel
        deadline = context.eventLoop.scheduleTask(in: timeout) { [self] in
            end(ChainVerifier.Refusal(description: "net/http: TLS handshake timeout"))
            channel.close(promise: nil)
        }
    }

    private func end(_ refusal: ChainVerifier.Refusal?) {
        guard !isOver else { return }
        isOver = true
        deadline?.cancel()
        if let refusal { promise.fail(refusal) } else { promise.succeed() }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard !isOver else { return context.fireErrorCaught(error) }
        end(refusal ?? ChainVerifier.Refusal(description: TLSFailure.text(error)))
        context.close(promise: nil)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard !isOver, case .handshakeCompleted? = event as? TLSUserEvent else {
            return context.fireUserInboundEventTriggered(event)
        }
        do {
            if !settings.skipsVerification {
                guard let shown = try context.pipeline.syncOperations.nioSSL_peerCertificate() else {
                    throw ChainVerifier.Refusal(description: "tls: server didn't provide a certificate")
                }
                let names = CertificateNames(try Certificate(derEncoded: shown.toDERBytes()))
                guard names.isFor(name) else { throw Self.mismatch(names, name) }
                try settings.checkAllowed(names)
            }
            end(nil)
            context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
        } catch {
            end(error as? ChainVerifier.Refusal ?? ChainVerifier.Refusal(description: "\(error)"))
            context.close(promise: nil)
        }
    }

    private static func mismatch(_ names: CertificateNames, _ host: String) -> ChainVerifier.Refusal {
        let words = "tls: failed to verify certificate: x509: "
        if names.dnsNames.isEmpty, names.addresses.isEmpty {
            return .init(description: words + "certificate is not valid for any names, but wanted to match \(host)")
        }
        return .init(
            description: words + "certificate is valid for \(names.dnsNames.joined(separator: ", ")), not \(host)")
    }
}
