import NIOCore
import NIOSSL
import NIOTLS
import X509

/// Stands on a connection until its TLS handshake is done and the other side is known to be welcome. Belongs to the
/// channel's event loop.
///
/// Before the first byte there is nothing of TLS, so that a connection that says nothing costs little.
final class ListenerGate: ChannelInboundHandler, RemovableChannelHandler, @unchecked Sendable {
    typealias InboundIn = ByteBuffer

    private enum State {
        case silent
        case handshaking
        /// The address is being looked up; what is read meanwhile waits.
        case checking
        case over
    }

    /// The first byte of a record with a handshake.
    private static let handshakeRecord: UInt8 = 22

    private let listener: TLSListener
    private let address: SocketAddress?
    private let secured: (TLSListener.Peer) throws -> Void
    private let refused: (String) -> Void
    private var state = State.silent
    private var materials: Materials?
    private var deadline: Scheduled<Void>?
    private var number: UInt64?
    /// Why the certificate was not taken; the library knows only that it was not.
    private var refusal: ChainVerifier.Refusal?
    private var early: [ByteBuffer] = []

    init(
        _ listener: TLSListener, address: SocketAddress?, secured: @escaping (TLSListener.Peer) throws -> Void,
        refused: @escaping (String) -> Void
    ) {
        self.listener = listener
        self.address = address
        self.secured = secured
        self.refused = refused
    }

    func handlerAdded(context: ChannelHandlerContext) {
        number = listener.pending.add(context.channel)
        let channel = context.channel
        deadline = context.eventLoop.scheduleTask(in: listener.timeout) { [self] in
            end(
                refusing: "tls: handshake not finished within \(listener.timeout.nanoseconds / 1_000_000_000)s", channel
            )
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        settle()
    }

    /// No deadline any more, and no place among those that are pending.
    private func settle() {
        deadline?.cancel()
        deadline = nil
        if let number { listener.pending.remove(number) }
        number = nil
    }

    private func end(refusing reason: String, _ channel: any Channel) {
        if case .over = state { return }
        state = .over
        settle()
        early = []
        refused(reason)
        channel.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        end(refusing: "EOF", context.channel)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        end(refusing: refusal?.description ?? TLSFailure.text(error), context.channel)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch state {
        case .silent:
            let bytes = unwrapInboundIn(data)
            guard let first = bytes.readableBytesView.first else { return }
            guard first == Self.handshakeRecord else {
                return end(refusing: "tls: first record does not look like a TLS handshake", context.channel)
            }
            state = .handshaking
            do {
                try begin(context)
            } catch {
                return end(refusing: "\(error)", context.channel)
            }
            context.pipeline.fireChannelRead(bytes)
        case .checking: early.append(unwrapInboundIn(data))
        case .handshaking, .over: break
        }
    }

    /// Puts the library's handler in front.
    private func begin(_ context: ChannelHandlerContext) throws {
        let materials = listener.materials
        self.materials = materials
        let handler: NIOSSLServerHandler
        if let verifier = materials.verifier {
            let loop = context.eventLoop
            handler = NIOSSLServerHandler(
                context: materials.context,
                customVerificationCallback: { [self] certificates, promise in
                    let presented = certificates.compactMap { try? $0.toDERBytes() }
                    Task {
                        let refusal = await Self.refusal(of: presented, verifier, materials.revocations)
                        loop.execute {
                            self.refusal = refusal
                            promise.succeed(refusal == nil ? .certificateVerified : .failed)
                        }
                    }
                }, configuration: .init())
        } else {
            handler = NIOSSLServerHandler(context: materials.context)
        }
        try context.pipeline.syncOperations.addHandler(handler, position: .before(self))
    }

    private static func refusal(
        of presented: [[UInt8]], _ verifier: ChainVerifier, _ revocations: RevocationList?
    ) async -> ChainVerifier.Refusal? {
        do throws(ChainVerifier.Refusal) {
            try await verifier.verify(presented)
            guard revocations != nil else { return nil }
            // As in etcd: all that were presented, not only those of the path that was found.
            try TLSListener.checkRevocation(presented.compactMap { try? Certificate(derEncoded: $0) }, revocations)
            return nil
        } catch {
            return error
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .handshaking = state, case .handshakeCompleted(let name)? = event as? TLSUserEvent else {
            return context.fireUserInboundEventTriggered(event)
        }
        var peer = TLSListener.Peer(applicationProtocol: name)
        guard let materials, materials.verifier != nil else { return welcome(peer, context) }
        do {
            guard let shown = try context.pipeline.syncOperations.nioSSL_peerCertificate() else {
                throw ChainVerifier.Refusal.noCertificate
            }
            let certificate = try Certificate(derEncoded: shown.toDERBytes())
            try listener.check(certificate, materials)
            let names = CertificateNames(certificate)
            // As in etcd a name counts only where showing a certificate was asked for in so many words.
            if listener.settings.demandsCertificate { peer.commonName = names.commonName }
            guard listener.settings.checksAddress, let question = AddressQuestion(names, address) else {
                return welcome(peer, context)
            }
            ask(question, peer, context)
        } catch {
            end(refusing: "\(error)", context.channel)
        }
    }

    private func ask(_ question: AddressQuestion, _ peer: TLSListener.Peer, _ context: ChannelHandlerContext) {
        state = .checking
        // One that talks meanwhile is heard later.
        _ = context.channel.setOption(.autoRead, value: false)
        let loop = context.eventLoop
        nonisolated(unsafe) let context = context
        question.answer { refusal in
            loop.execute { [self] in
                guard case .checking = state else { return }
                if let refusal { return end(refusing: refusal, context.channel) }
                _ = context.channel.setOption(.autoRead, value: true)
                welcome(peer, context)
            }
        }
    }

    private func welcome(_ peer: TLSListener.Peer, _ context: ChannelHandlerContext) {
        state = .over
        settle()
        do {
            try secured(peer)
        } catch {
            refused("\(error)")
            context.close(promise: nil)
            return
        }
        for bytes in early { context.fireChannelRead(wrapInboundOut(bytes)) }
        if !early.isEmpty { context.fireChannelReadComplete() }
        early = []
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }

    typealias InboundOut = ByteBuffer
}
