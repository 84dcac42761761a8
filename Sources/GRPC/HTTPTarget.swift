/// The target of a request, as its first line has it: a path and a query, or both behind a scheme and a host as
/// proxies are asked.
struct HTTPTarget {
    /// The path and, behind `?`, the query.
    let text: String
    /// The path with what stands for its escapes; nil where an escape is none.
    let path: String?
    /// The host, where the target names one: it counts, and not the header field.
    let authority: String?

    init(_ target: String) {
        var text = target
        var authority: String?
        for scheme in ["http://", "https://"] where target.lowercased().hasPrefix(scheme) {
            let rest = target.dropFirst(scheme.count)
            let host = rest.prefix { $0 != "/" && $0 != "?" }
            authority = String(host)
            text = String(rest.dropFirst(host.count))
            if !text.hasPrefix("/") { text = "/" + text }
        }
        self.text = text
        self.authority = authority
        path = Self.decoded(text.utf8.prefix { $0 != UInt8(ascii: "?") })
    }

    private static func decoded(_ path: Substring.UTF8View) -> String? {
        guard path.contains(UInt8(ascii: "%")) else { return String(Substring(path)) }
        var bytes: [UInt8] = []
        var rest = path
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = rest.popFirst().flatMap(PercentEncoding.value),
                let low = rest.popFirst().flatMap(PercentEncoding.value)
            else { return nil }
            bytes.append(high << 4 | low)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// `path` as it stands in a target.
    static func escaped(_ path: some Sequence<UInt8>) -> String {
        path.reduce(into: "") { text, byte in
            if plain.contains(byte) {
                text.unicodeScalars.append(Unicode.Scalar(byte))
            } else {
                let digits = String(byte, radix: 16, uppercase: true)
                text += "%" + (digits.count < 2 ? "0" : "") + digits
            }
        }
    }

    private static let plain = Set(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~$&+,/:;=@".utf8)
}
