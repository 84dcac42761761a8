import Foundation

/// The blocks of a file in PEM (RFC 7468), read as leniently as Go does: lines of any length, and anything between blocks.
struct PEMBlocks {
    struct Block: Equatable {
        /// What stands behind `BEGIN`, such as `CERTIFICATE`.
        var kind: String
        var bytes: [UInt8]
    }

    /// All blocks that are whole. One that is not Base64 is no block.
    private(set) var blocks: [Block] = []

    init(_ bytes: [UInt8]) {
        var kind: String?
        var content = ""
        for line in String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline) {
            let line = line.trimmingCharacters(in: .whitespaces)
            if let begun = Self.label(line, "BEGIN") {
                (kind, content) = (begun, "")
            } else if let ended = Self.label(line, "END") {
                if ended == kind, let data = Data(base64Encoded: content) {
                    blocks.append(Block(kind: ended, bytes: Array(data)))
                }
                kind = nil
            } else if kind != nil, !line.contains(":") {
                content += line
            }
        }
    }

    private static func label(_ line: String, _ word: String) -> String? {
        let head = "-----\(word) "
        let tail = "-----"
        guard line.hasPrefix(head), line.hasSuffix(tail), line.count > head.count + tail.count else { return nil }
        return String(line.dropFirst(head.count).dropLast(tail.count))
    }
}
