import SwiftASN1

/// The serial numbers of revoked certificates, out of certificate revocation lists (RFC 5280, section 5).
///
/// As in etcd a certificate is revoked when its serial number is in a list, whoever issued it; neither the list's
/// signature nor its age is checked, since the file is the operator's own.
public struct RevocationList: Sendable, Equatable {
    /// Serial numbers without leading zeros.
    private var serials: Set<ArraySlice<UInt8>>

    /// Why bytes are no list of revoked certificates.
    public struct Malformed: Error, Equatable, CustomStringConvertible {
        public var description: String
    }

    /// Reads one list in DER, or one or more in PEM.
    public init(parsing bytes: [UInt8]) throws(Malformed) {
        serials = []
        do {
            // A sequence in DER begins with this byte, and no text does.
            let isDER = bytes.first == 0x30
            let lists = isDER ? [bytes] : PEMBlocks(bytes).blocks.filter { $0.kind == "X509 CRL" }.map(\.bytes)
            guard !lists.isEmpty else { throw Malformed(description: "the file has no \"X509 CRL\" in PEM") }
            for list in lists { try add(list) }
        } catch let error as Malformed {
            throw error
        } catch {
            throw Malformed(description: "\(error)")
        }
    }

    /// How many certificates are revoked.
    public var count: Int { serials.count }

    /// Whether the certificate of this serial number, given by its bytes, is revoked.
    public func contains(_ serial: ArraySlice<UInt8>) -> Bool {
        serials.contains(Self.magnitude(serial))
    }

    private static func magnitude(_ serial: ArraySlice<UInt8>) -> ArraySlice<UInt8> { serial.drop { $0 == 0 } }

    private mutating func add(_ der: [UInt8]) throws {
        try DER.sequence(try DER.parse(der), identifier: .sequence) { list in
            guard let inner = list.next(), list.next() != nil, list.next() != nil else {
                throw Malformed(description: "a list has its contents, an algorithm and a signature")
            }
            try addContents(inner)
        }
    }

    /// Reads `tbsCertList`: version (optional), algorithm, issuer, this update, next update (optional), revoked
    /// certificates (optional), extensions (optional).
    private mutating func addContents(_ node: ASN1Node) throws {
        var found: [ArraySlice<UInt8>] = []
        try DER.sequence(node, identifier: .sequence) { fields in
            guard var field = fields.next() else { throw Malformed(description: "the contents are empty") }
            if field.identifier == .integer {
                guard let next = fields.next() else { throw Malformed(description: "the algorithm is missing") }
                field = next
            }
            guard field.identifier == .sequence, fields.next()?.identifier == .sequence else {
                throw Malformed(description: "the algorithm or the issuer is missing")
            }
            guard let update = fields.next(), Self.isTime(update) else {
                throw Malformed(description: "the time of the update is missing")
            }
            var next = fields.next()
            if let field = next, Self.isTime(field) { next = fields.next() }
            if let revoked = next, revoked.identifier == .sequence {
                found = try Self.entries(revoked)
                next = fields.next()
            }
            if let rest = next {
                guard rest.identifier == ASN1Identifier(tagWithNumber: 0, tagClass: .contextSpecific) else {
                    throw Malformed(description: "an unexpected field: \(rest.identifier)")
                }
            }
        }
        for serial in found { serials.insert(serial) }
    }

    private static func isTime(_ node: ASN1Node) -> Bool {
        node.identifier == .utcTime || node.identifier == .generalizedTime
    }

    private static func entries(_ node: ASN1Node) throws -> [ArraySlice<UInt8>] {
        try DER.sequence(node, identifier: .sequence) { list in
            var serials: [ArraySlice<UInt8>] = []
            while let entry = list.next() {
                serials.append(
                    try DER.sequence(entry, identifier: .sequence) { fields in
                        guard let number = fields.next(), number.identifier == .integer,
                            case .primitive(let serial) = number.content
                        else { throw Malformed(description: "an entry has no serial number") }
                        guard let time = fields.next(), isTime(time) else {
                            throw Malformed(description: "an entry has no time of revocation")
                        }
                        _ = fields.next()
                        return magnitude(serial)
                    })
            }
            return serials
        }
    }
}
