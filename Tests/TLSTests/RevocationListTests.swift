import SwiftASN1
import Testing

@testable import TLS

/// Builds lists of revoked certificates, well made and badly.
struct RevocationListMaker {
    var serials: [[UInt8]] = []
    var hasVersion = true
    var hasNextUpdate = true
    var hasList = true
    var hasEntryExtensions = false
    var hasExtensions = true

    func der() throws -> [UInt8] {
        var serializer = DER.Serializer()
        serializer.appendConstructedNode(identifier: .sequence) { list in
            list.appendConstructedNode(identifier: .sequence) { contents(&$0) }
            algorithm(&list)
            list.appendPrimitiveNode(identifier: .bitString) { $0.append(contentsOf: [0, 1, 2, 3]) }
        }
        return serializer.serializedBytes
    }

    private func contents(_ fields: inout DER.Serializer) {
        if hasVersion { fields.appendPrimitiveNode(identifier: .integer) { $0.append(1) } }
        algorithm(&fields)
        fields.appendConstructedNode(identifier: .sequence) { _ in }
        time(&fields)
        if hasNextUpdate { time(&fields) }
        if hasList {
            fields.appendConstructedNode(identifier: .sequence) { list in
                for serial in serials {
                    list.appendConstructedNode(identifier: .sequence) { entry in
                        entry.appendPrimitiveNode(identifier: .integer) { $0.append(contentsOf: serial) }
                        time(&entry)
                        if hasEntryExtensions { entry.appendConstructedNode(identifier: .sequence) { _ in } }
                    }
                }
            }
        }
        if hasExtensions {
            let tag = ASN1Identifier(tagWithNumber: 0, tagClass: .contextSpecific)
            fields.appendConstructedNode(identifier: tag) { tagged in
                tagged.appendConstructedNode(identifier: .sequence) { _ in }
            }
        }
    }

    private func algorithm(_ fields: inout DER.Serializer) {
        fields.appendConstructedNode(identifier: .sequence) { sequence in
            sequence.appendPrimitiveNode(identifier: .objectIdentifier) { $0.append(contentsOf: [0x2A, 0x03]) }
        }
    }

    private func time(_ fields: inout DER.Serializer) {
        fields.appendPrimitiveNode(identifier: .utcTime) { $0.append(contentsOf: "260101000000Z".utf8) }
    }
}

@Suite struct RevocationListTests {
    @Test(arguments: [true, false], [true, false])
    func optionalFieldsMayBeMissing(first: Bool, second: Bool) throws {
        var maker = RevocationListMaker(serials: [[1], [0, 0x80]])
        maker.hasVersion = first
        maker.hasNextUpdate = second
        maker.hasEntryExtensions = first
        maker.hasExtensions = second
        let list = try RevocationList(parsing: maker.der())
        #expect(list.count == 2)
        #expect(list.contains([1]))
        #expect(!list.contains([2]))
    }

    @Test func leadingZerosOfASerialMeanNothing() throws {
        let list = try RevocationList(parsing: RevocationListMaker(serials: [[0, 0x80]]).der())
        #expect(list.contains([0x80]))
        #expect(list.contains([0, 0x80]))
    }

    @Test func aListMayRevokeNothing() throws {
        var maker = RevocationListMaker()
        #expect(try RevocationList(parsing: maker.der()).count == 0)
        maker.hasList = false
        maker.hasExtensions = false
        #expect(try RevocationList(parsing: maker.der()).count == 0)
    }

    @Test func oneFileMayHaveListsOfSeveralAuthorities() throws {
        let lists = try [[[UInt8(1)]], [[UInt8(2)]]].map { serials in
            let der = try RevocationListMaker(serials: serials).der()
            return PEMDocument(type: "X509 CRL", derBytes: der).pemString
        }
        let list = try RevocationList(parsing: Array(lists.joined(separator: "\n").utf8))
        #expect(list.contains([1]))
        #expect(list.contains([2]))
    }

    @Test(
        arguments: [
            [], [0x30], [0x30, 0x00], Array("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".utf8),
            Array("no list".utf8), Array("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n".utf8),
        ] as [[UInt8]])
    func whatIsNoListIsRefused(bytes: [UInt8]) {
        #expect(throws: RevocationList.Malformed.self) { try RevocationList(parsing: bytes) }
    }

    /// Every list with one byte changed, and every beginning of one, is read or refused, and nothing else happens.
    @Test func damagedListsAreReadOrRefused() throws {
        var maker = RevocationListMaker(serials: [[1], [2, 3], [0x7F, 0xFF, 0xFF]])
        maker.hasEntryExtensions = true
        let good = try maker.der()
        var outcomes: Set<Bool> = []
        for position in good.indices {
            for value in [0, 1, 0x02, 0x17, 0x30, 0x7F, 0x80, 0x84, 0xA0, 0xFF] as [UInt8] {
                var bytes = good
                bytes[position] = value
                outcomes.insert((try? RevocationList(parsing: bytes)) != nil)
            }
            #expect(throws: RevocationList.Malformed.self) { try RevocationList(parsing: Array(good[..<position])) }
        }
        #expect(outcomes == [true, false])
    }

    @Test func randomBytesAreRefused() {
        var state: UInt64 = 20261121
        for _ in 0..<2000 {
            var bytes: [UInt8] = [0x30]
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            for _ in 0..<Int(state >> 58) {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                bytes.append(UInt8(truncatingIfNeeded: state >> 56))
            }
            #expect(throws: RevocationList.Malformed.self) { try RevocationList(parsing: bytes) }
        }
    }

    /// In the log the number reads as `openssl x509 -serial` and Go print it, but for the zeros before it.
    @Test(arguments: [([0x0A, 0x0B], "a0b"), ([0x00, 0xAB, 0x10], "ab10"), ([0x01], "1")] as [([UInt8], String)])
    func serialNumbersAreToldWithoutZerosBefore(bytes: [UInt8], text: String) {
        #expect(TLSListener.hexadecimal(bytes[...]) == text)
    }
}
