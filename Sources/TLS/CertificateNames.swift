import Glibc
import SwiftASN1
import X509

/// Whom a certificate is for.
struct CertificateNames {
    /// The subject's common name, the last one when there are several (as Go has it); empty when there is none.
    var commonName = ""
    /// DNS names among the alternative names.
    var dnsNames: [String] = []
    /// Addresses among the alternative names: four or sixteen bytes.
    var addresses: [[UInt8]] = []

    init(_ certificate: Certificate) {
        for relative in certificate.subject {
            for attribute in relative where attribute.type == .RDNAttributeType.commonName {
                // One that cannot be read does not leave the place to an earlier one.
                commonName = String(attribute.value) ?? Self.text(ASN1Any(attribute.value)) ?? ""
            }
        }
        // Names that cannot be read are names that nobody has.
        guard let names = try? certificate.extensions.subjectAlternativeNames else { return }
        for name in names {
            switch name {
            case .dnsName(let text): dnsNames.append(text)
            case .ipAddress(let bytes): addresses.append(Array(bytes.bytes))
            default: break
            }
        }
    }

    /// The text of a value in one of the forms that Go reads and the library does not.
    private static func text(_ value: ASN1Any) -> String? {
        var serializer = DER.Serializer()
        guard (try? serializer.serialize(value)) != nil, let node = try? DER.parse(serializer.serializedBytes),
            node.identifier.tagClass == .universal, case .primitive(let bytes) = node.content
        else { return nil }
        switch node.identifier.tagNumber {
        // NumericString.
        case 18 where bytes.allSatisfy { $0 == UInt8(ascii: " ") || (0x30...0x39).contains($0) },
            // TeletexString: what is the same in all its readings.
            20 where bytes.allSatisfy { $0 < 0x80 }:
            return String(decoding: bytes, as: UTF8.self)
        // BMPString.
        case 30 where bytes.count % 2 == 0:
            let units = stride(from: bytes.startIndex, to: bytes.endIndex, by: 2).map {
                UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1])
            }
            return String(validating: units, as: UTF16.self)
        default: return nil
        }
    }

    /// Whether the certificate is for `host`, an address or a name. Only alternative names count, and a `*` stands for one
    /// whole label, the first (RFC 6125, as Go does it).
    func isFor(_ host: String) -> Bool {
        if let address = HostAddress(host) { return addresses.contains { $0 == address.bytes } }
        let wanted = Self.labels(host)
        guard !wanted.isEmpty, wanted.allSatisfy({ !$0.isEmpty }) else { return false }
        return dnsNames.contains { Self.matches(Self.labels($0), wanted) }
    }

    private static func labels(_ name: String) -> [String] {
        var labels = name.lowercased().split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        if labels.last == "" { labels.removeLast() }
        return labels
    }

    private static func matches(_ pattern: [String], _ host: [String]) -> Bool {
        guard pattern.count == host.count else { return false }
        for (index, label) in pattern.enumerated() {
            if index == 0, label == "*" { continue }
            guard label == host[index], !label.isEmpty else { return false }
        }
        return true
    }
}

/// An IP address, of four bytes or sixteen.
struct HostAddress: Equatable {
    let bytes: [UInt8]

    /// Reads an address as it is written, in brackets or not; nil when `text` is none.
    init?(_ text: String) {
        var text = Substring(text)
        if text.hasPrefix("["), text.hasSuffix("]") { text = text.dropFirst().dropLast() }
        var four = in_addr()
        if inet_pton(AF_INET, String(text), &four) == 1 {
            bytes = withUnsafeBytes(of: &four) { Array($0) }
            return
        }
        var sixteen = in6_addr()
        guard inet_pton(AF_INET6, String(text.prefix { $0 != "%" }), &sixteen) == 1 else { return nil }
        let all = withUnsafeBytes(of: &sixteen) { Array($0) }
        // An IPv4 address in IPv6's form is that address.
        let mapped: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]
        bytes = all.starts(with: mapped) ? Array(all[12...]) : all
    }
}
