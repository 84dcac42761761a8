#if canImport(CChecksum)
    import CChecksum
#endif

/// The Castagnoli CRC (polynomial 0x1EDC6F41, reflected), which etcd uses for WAL records, snapshot files and
/// key-space hashes.
public enum CRC32C {
    /// Continues `crc` over `bytes`. Start with 0; the result of one call is the `crc` of the next.
    public static func update(_ crc: UInt32, _ bytes: UnsafeRawBufferPointer) -> UInt32 {
        #if canImport(CChecksum)
            if hasInstructions { return cchecksum_crc32c(crc, bytes.baseAddress, bytes.count) }
        #endif
        return updateByTables(crc, bytes)
    }

    #if canImport(CChecksum)
        /// Whether the processor has instructions for this CRC, which are four times as fast as the tables.
        private static let hasInstructions = cchecksum_has_crc32c()
    #endif

    /// Continues `crc` over `bytes` on a processor that has no instructions for it.
    static func updateByTables(_ crc: UInt32, _ bytes: UnsafeRawBufferPointer) -> UInt32 {
        var state = ~crc
        var offset = 0
        let count = bytes.count
        return tables.withUnsafeBufferPointer { table in
            // Eight bytes a step: each of the eight tables advances the CRC of one byte past the seven behind it.
            while count - offset >= 8 {
                let low = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)) ^ state
                let high = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset + 4, as: UInt32.self))
                state =
                    table[0x700 + Int(low & 0xff)] ^ table[0x600 + Int((low >> 8) & 0xff)]
                    ^ table[0x500 + Int((low >> 16) & 0xff)] ^ table[0x400 + Int(low >> 24)]
                    ^ table[0x300 + Int(high & 0xff)] ^ table[0x200 + Int((high >> 8) & 0xff)]
                    ^ table[0x100 + Int((high >> 16) & 0xff)] ^ table[Int(high >> 24)]
                offset += 8
            }
            while offset < count {
                state = table[Int((state ^ UInt32(bytes[offset])) & 0xff)] ^ (state >> 8)
                offset += 1
            }
            return ~state
        }
    }

    /// Continues `crc` over `bytes`.
    public static func update(_ crc: UInt32, _ bytes: [UInt8]) -> UInt32 {
        bytes.withUnsafeBytes { update(crc, $0) }
    }

    private static let tables: [UInt32] = {
        var tables = [UInt32](repeating: 0, count: 8 * 256)
        for index in 0..<256 {
            var crc = UInt32(index)
            for _ in 0..<8 {
                crc = (crc >> 1) ^ (crc & 1 == 1 ? 0x82F6_3B78 : 0)
            }
            tables[index] = crc
        }
        for index in 256..<(8 * 256) {
            let previous = tables[index - 256]
            tables[index] = tables[Int(previous & 0xff)] ^ (previous >> 8)
        }
        return tables
    }()
}
