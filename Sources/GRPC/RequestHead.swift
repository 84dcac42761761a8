import Glibc
import NIOCore

/// The head of a request while its fields arrive. A session has one and uses it again for every request: header
/// blocks of different streams never interleave.
final class RequestHead {
    /// What the content type says about the request.
    enum ContentType {
        case none, grpc, other
    }

    /// How the messages are compressed.
    enum Encoding: Equatable {
        case identity, gzip
        case unknown(String)
    }

    @exclusivity(unchecked) private(set) var path: [UInt8] = []
    @exclusivity(unchecked) private(set) var method: [UInt8] = []
    private(set) var isPost = false
    private(set) var contentType = ContentType.none
    @exclusivity(unchecked) private(set) var contentTypeText: [UInt8] = []
    private(set) var timeout: Int64?
    private(set) var malformedTimeout: String?
    private(set) var encoding = Encoding.identity
    /// The fields that are metadata, flat as `Metadata` keeps them.
    @exclusivity(unchecked) private var fields: [UInt8] = []
    private var fieldCount = 0
    /// How many bytes the fields take beyond those that clients usually send, a token included. What a request takes that is
    /// no larger is not worth counting.
    var excessBytes: Int { max(0, fields.count - Self.usualBytes) }
    private static let usualBytes = 4096
    /// The metadata of the last request; clients repeat themselves, and then no copy is made.
    private var lastMetadata = Metadata()

    func begin() {
        path.removeAll(keepingCapacity: true)
        method.removeAll(keepingCapacity: true)
        isPost = false
        contentType = .none
        timeout = nil
        malformedTimeout = nil
        encoding = .identity
        fields.removeAll(keepingCapacity: true)
        fieldCount = 0
    }

    /// Takes one field.
    func add(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
        switch name.count {
        case 2 where name.is("te"): return
        case 5 where name.is(":path"):
            path.append(contentsOf: value)
            return
        case 7 where name.is(":method"):
            isPost = value.is("POST")
            if !isPost { method.append(contentsOf: value) }
            return
        case 7 where name.is(":scheme"): return
        case 12 where name.is("content-type"): readContentType(value)
        case 12... where name.hasPrefix("grpc-"):
            if addGRPC(name, value) { return }
        default: break
        }
        Metadata.append(name: name, value: value, to: &fields)
        fieldCount += 1
    }

    private func addGRPC(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Bool {
        if name.is("grpc-timeout") {
            do {
                timeout = try Timeout.decode(value)
            } catch {
                malformedTimeout = error.reason
            }
            return true
        }
        if name.is("grpc-encoding") {
            if value.is("gzip") {
                encoding = .gzip
            } else if !value.is("identity") {
                encoding = .unknown(String(decoding: value.prefix(64), as: UTF8.self))
            }
            return true
        }
        return name.is("grpc-accept-encoding")
    }

    private func readContentType(_ value: UnsafeRawBufferPointer) {
        contentType = Self.isGRPC(value) ? .grpc : .other
        guard contentType == .other else { return }
        contentTypeText.removeAll(keepingCapacity: true)
        contentTypeText.append(contentsOf: value.prefix(128))
    }

    /// `application/grpc`, alone or followed by a subtype or parameters.
    static func isGRPC(_ value: UnsafeRawBufferPointer) -> Bool {
        let base: StaticString = "application/grpc"
        guard value.count >= base.utf8CodeUnitCount else { return false }
        guard zip(value, base.utf8Bytes).allSatisfy({ $0 | 0x20 == $1 || $0 == $1 }) else { return false }
        guard value.count > base.utf8CodeUnitCount else { return true }
        return value[base.utf8CodeUnitCount] == UInt8(ascii: "+") || value[base.utf8CodeUnitCount] == UInt8(ascii: ";")
    }

    /// The metadata of the request whose fields were taken.
    func takeMetadata() -> Metadata {
        if !lastMetadata.storage.hasSameBytes(as: fields) {
            lastMetadata = Metadata(storage: fields, count: fieldCount)
        }
        return lastMetadata
    }
}

extension UnsafeRawBufferPointer {
    /// Whether the bytes are those of `text`.
    func `is`(_ text: StaticString) -> Bool {
        count == text.utf8CodeUnitCount && hasPrefix(text)
    }

    /// Whether the first bytes are those of `text`.
    func hasPrefix(_ text: StaticString) -> Bool {
        guard count >= text.utf8CodeUnitCount, let baseAddress else { return text.utf8CodeUnitCount == 0 }
        return memcmp(baseAddress, text.utf8Start, text.utf8CodeUnitCount) == 0
    }

    /// Whether the bytes are those of `other`.
    func hasSameBytes(as other: UnsafeRawBufferPointer) -> Bool {
        guard count == other.count else { return false }
        guard let baseAddress, let base = other.baseAddress else { return true }
        return memcmp(baseAddress, base, count) == 0
    }
}

extension [UInt8] {
    /// Whether the bytes are those of `other`.
    func hasSameBytes(as other: [UInt8]) -> Bool {
        withUnsafeBytes { bytes in other.withUnsafeBytes { bytes.hasSameBytes(as: $0) } }
    }
}

extension StaticString {
    /// The text's bytes, which live as long as the process.
    var utf8Bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: utf8Start, count: utf8CodeUnitCount) }
}
