/// The 64-bit Fowler–Noll–Vo hash, variant 1a, which guards the meta pages of a Bolt file.
public enum FNV1a {
    /// The hash of `bytes`.
    public static func hash64(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in bytes {
            hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3
        }
        return hash
    }
}
