import CNGHTTP2

/// What HTTP/2 asks of a request's fields (RFC 9113, section 8), but for what the authority looks like.
///
/// nghttp2 would check this itself, and would refuse an authority with slashes. Go's servers take it, and etcdctl sends
/// one: it dials an endpoint that is written as a URL under the URL's own text.
struct RequestRules {
    private struct Pseudo: OptionSet {
        var rawValue: UInt8
        static let method = Pseudo(rawValue: 1)
        static let scheme = Pseudo(rawValue: 2)
        static let authority = Pseudo(rawValue: 4)
        static let path = Pseudo(rawValue: 8)
        static let required: Pseudo = [.method, .scheme, .path]
    }

    private var seen: Pseudo = []
    private var hasRegularFields = false

    /// Whether the fields so far make a request.
    var isComplete: Bool { seen.isSuperset(of: .required) }

    mutating func begin() {
        seen = []
        hasRegularFields = false
    }

    /// Whether the next field of a request's head may be there; when not, the request is malformed.
    mutating func allows(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Bool {
        guard name.first == UInt8(ascii: ":") else {
            hasRegularFields = true
            return Self.allowsField(name, value)
        }
        let pseudo: Pseudo
        if name.is(":path") {
            pseudo = .path
        } else if name.is(":method") {
            pseudo = .method
        } else if name.is(":scheme") {
            pseudo = .scheme
        } else if name.is(":authority") {
            pseudo = .authority
        } else {
            return false
        }
        guard !hasRegularFields, seen.insert(pseudo).inserted, Self.isValue(value) else { return false }
        return !value.isEmpty || pseudo == .authority
    }

    /// Whether a field that is no pseudo-header, such as one of a request's trailers, is well-formed.
    static func allowsField(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Bool {
        let bytes = name.bindMemory(to: UInt8.self)
        guard name.first != UInt8(ascii: ":"), nghttp2_check_header_name(bytes.baseAddress, bytes.count) != 0 else {
            return false
        }
        return !isOfConnection(name) && (!name.is("te") || value.is("trailers")) && isValue(value)
    }

    /// Fields that concern one HTTP/1.1 connection have no place in HTTP/2 (RFC 9113, section 8.2.2).
    private static func isOfConnection(_ name: UnsafeRawBufferPointer) -> Bool {
        switch name.count {
        case 7: name.is("upgrade")
        case 10: name.is("connection") || name.is("keep-alive")
        case 16: name.is("proxy-connection")
        case 17: name.is("transfer-encoding")
        default: false
        }
    }

    private static func isValue(_ value: UnsafeRawBufferPointer) -> Bool {
        let bytes = value.bindMemory(to: UInt8.self)
        return value.isEmpty || nghttp2_check_header_value(bytes.baseAddress, bytes.count) != 0
    }
}
