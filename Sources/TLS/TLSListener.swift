import NIOCore
import NIOSSL
import Synchronization
import X509

/// TLS for the connections that others make to a listener: one for all sockets with the same settings.
///
/// It holds for any protocol that is spoken over the connection, so that no listener can forget a check.
public final class TLSListener: Sendable {
    /// Who is on the other side of a connection.
    public struct Peer: Sendable {
        /// The common name in the certificate that was asked for and verified; nil when none was asked for.
        public var commonName: String?
        /// The protocol that both sides agreed on, such as `h2`; nil when the client named none that is served.
        public var applicationProtocol: String?
    }

    /// How long a client may take from connecting to the end of the handshake and the checks. Go gives its own clients
    /// ten seconds, too.
    public static let handshakeTimeout = TimeAmount.seconds(10)

    let settings: TLSSettings
    let timeout: TimeAmount
    private let source: MaterialSource
    let pending = PendingHandshakes(limit: TLSLimit.pendingHandshakes)

    /// Reads what `settings` name. `complain` hears of files that turn out to be of no use later on.
    public init(
        _ settings: TLSSettings, protocols: [String], timeout: TimeAmount = handshakeTimeout,
        complain: @escaping @Sendable (String) -> Void = { _ in }
    ) throws(TLSError) {
        self.settings = settings
        self.timeout = timeout
        source = try MaterialSource(settings, role: .listener(protocols: protocols), complain: complain)
    }

    var materials: Materials { source.current() }

    /// Puts TLS on `channel`, on its event loop, before anything else is in its pipeline.
    /// - Parameters:
    ///   - secured: called once the other side has passed all checks; it puts the handlers of the protocol on the channel.
    ///   - refused: called instead when it has not, with the reason; the channel is closed.
    public func secure(
        _ channel: any Channel, secured: @escaping (Peer) throws -> Void, refused: @escaping (String) -> Void
    ) throws {
        try channel.pipeline.syncOperations.addHandler(
            ListenerGate(self, address: channel.remoteAddress, secured: secured, refused: refused))
    }

    /// Throws unless the certificate of the other side is one that the settings allow. The chain was checked before; a
    /// resumed session has only this.
    func check(_ certificate: Certificate, _ materials: Materials) throws(ChainVerifier.Refusal) {
        try ChainVerifier.checkValidity(certificate)
        try Self.checkRevocation([certificate], materials.revocations)
        try settings.checkAllowed(CertificateNames(certificate))
    }

    static func checkRevocation(
        _ certificates: [Certificate], _ revocations: RevocationList?
    ) throws(ChainVerifier.Refusal) {
        guard let revocations else { return }
        for certificate in certificates where revocations.contains(certificate.serialNumber.bytes) {
            let serial = hexadecimal(certificate.serialNumber.bytes)
            throw ChainVerifier.Refusal(description: "transport: certificate serial \(serial) revoked")
        }
    }

    /// A serial number as Go prints a large number: without zeros before it.
    static func hexadecimal(_ serial: ArraySlice<UInt8>) -> String {
        let digits = serial.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        return String(digits.drop { $0 == "0" })
    }
}

extension TLSSettings {
    /// Throws unless one of the allowed names, if any are given, is the certificate's.
    func checkAllowed(_ names: CertificateNames) throws(ChainVerifier.Refusal) {
        if !allowedCommonNames.isEmpty, !allowedCommonNames.contains(names.commonName) { throw .notAllowed }
        if !allowedHostnames.isEmpty, !allowedHostnames.contains(where: { names.isFor($0) }) { throw .notAllowed }
    }
}

extension ChainVerifier.Refusal {
    static let notAllowed = Self(description: "client certificate authentication failed")
}

/// The connections of a listener whose handshake is not finished. When there are too many, the oldest is closed.
final class PendingHandshakes: Sendable {
    private struct State {
        var channels: [UInt64: any Channel] = [:]
        var oldest: UInt64 = 0
        var next: UInt64 = 0
    }

    private let limit: Int
    private let state = Mutex(State())

    init(limit: Int) {
        self.limit = limit
    }

    var count: Int { state.withLock { $0.channels.count } }

    /// Counts `channel` until `remove` is called with what is returned.
    func add(_ channel: any Channel) -> UInt64 {
        let (number, superfluous) = state.withLock { state -> (UInt64, (any Channel)?) in
            let number = state.next
            state.next += 1
            state.channels[number] = channel
            guard state.channels.count > limit else { return (number, nil) }
            while state.oldest < number {
                let candidate = state.oldest
                state.oldest += 1
                if let channel = state.channels.removeValue(forKey: candidate) { return (number, channel) }
            }
            return (number, nil)
        }
        superfluous?.close(promise: nil)
        return number
    }

    func remove(_ number: UInt64) {
        state.withLock { state in
            state.channels[number] = nil
            if state.channels.isEmpty { state.oldest = state.next }
        }
    }
}
