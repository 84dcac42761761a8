/// A key's bytes in memory of its own: a length, then the bytes. They never change.
struct KeyBytes {
    let address: UnsafeMutableRawPointer

    private static let headerSize = 4

    init(address: UnsafeMutableRawPointer) {
        self.address = address
    }

    init(copying bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count <= Int(UInt32.max), "a key is shorter than 4 GiB")
        address = .allocate(byteCount: Self.headerSize + bytes.count, alignment: 4)
        address.storeBytes(of: UInt32(bytes.count), as: UInt32.self)
        if let source = bytes.baseAddress, !bytes.isEmpty {
            (address + Self.headerSize).copyMemory(from: source, byteCount: bytes.count)
        }
    }

    @inline(__always)
    var bytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: address + Self.headerSize, count: Int(address.load(as: UInt32.self)))
    }
}

/// Byte-wise comparison of keys.
enum KeyOrder {
    /// Negative, zero or positive as `left` sorts before, with or after `right`; both are looked at from byte `offset` on.
    @inline(__always)
    static func compare(
        _ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer, from offset: Int = 0
    ) -> Int {
        let count = min(left.count, right.count)
        var position = offset
        while position + 8 <= count {
            let first = left.loadUnaligned(fromByteOffset: position, as: UInt64.self)
            let second = right.loadUnaligned(fromByteOffset: position, as: UInt64.self)
            if first != second { return first.bigEndian < second.bigEndian ? -1 : 1 }
            position += 8
        }
        while position < count {
            let first = left[position]
            let second = right[position]
            if first != second { return first < second ? -1 : 1 }
            position += 1
        }
        return left.count - right.count
    }

    /// The number of bytes, at most `limit`, that both begin with.
    static func commonPrefix(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer, limit: Int = .max) -> Int
    {
        let count = min(left.count, right.count, limit)
        var position = 0
        while position < count && left[position] == right[position] { position += 1 }
        return position
    }

    /// The eight bytes behind the first `prefix` ones as a number that sorts as they do; what is missing counts as zero.
    /// Different numbers order two keys with a common prefix; equal ones say nothing.
    @inline(__always)
    static func hint(_ key: UnsafeRawBufferPointer, after prefix: Int) -> UInt64 {
        if key.count >= prefix + 8 {
            return key.loadUnaligned(fromByteOffset: prefix, as: UInt64.self).bigEndian
        }
        var value: UInt64 = 0
        var shift: UInt64 = 56
        var position = prefix
        while position < key.count {
            value |= UInt64(key[position]) << shift
            shift &-= 8
            position += 1
        }
        return value
    }
}
