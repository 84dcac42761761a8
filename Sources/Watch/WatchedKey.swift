/// A key as a dictionary holds it, hashed over its bytes at once.
struct WatchedKey: Hashable {
    var bytes: [UInt8]

    static func == (left: WatchedKey, right: WatchedKey) -> Bool {
        left.bytes.count == right.bytes.count && compareBytes(left.bytes, right.bytes) == 0
    }

    func hash(into hasher: inout Hasher) {
        bytes.withUnsafeBytes { hasher.combine(bytes: $0) }
    }
}

/// Below 0, 0 or above 0 as `left` stands before, at or behind `right` in byte order. Eight bytes at a time.
func compareBytes(_ left: [UInt8], _ right: [UInt8]) -> Int {
    left.withUnsafeBytes { leftBytes in
        right.withUnsafeBytes { rightBytes in
            let common = min(leftBytes.count, rightBytes.count)
            var offset = 0
            while offset + 8 <= common {
                let a = leftBytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
                let b = rightBytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
                if a != b { return a.bigEndian < b.bigEndian ? -1 : 1 }
                offset += 8
            }
            while offset < common {
                let a = leftBytes[offset]
                let b = rightBytes[offset]
                if a != b { return a < b ? -1 : 1 }
                offset += 1
            }
            return leftBytes.count - rightBytes.count
        }
    }
}
