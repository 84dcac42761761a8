import CZlib

/// Gzip of single messages, through the system's zlib.
enum Gzip {
    /// Why compressed bytes gave no message.
    enum Failure: Error, Equatable {
        /// The message is longer than the receiver takes.
        case tooLarge
        /// The bytes are not one whole gzip stream.
        case corrupt
    }

    /// The window of 32 KiB, plus 16, which makes zlib read and write the gzip form.
    private static let gzipWindowBits: Int32 = 15 + 16
    private static let chunk = 32 * 1024

    /// The bytes that `compressed` unpacks to, at most `maximum`. Memory follows what was really unpacked, never what
    /// the input claims.
    static func decompress(_ compressed: [UInt8], maximum: Int) throws(Failure) -> [UInt8] {
        var stream = z_stream()
        let size = Int32(MemoryLayout<z_stream>.size)
        guard inflateInit2_(&stream, gzipWindowBits, ZLIB_VERSION, size) == Z_OK else { throw .corrupt }
        defer { inflateEnd(&stream) }
        var input = compressed
        var output: [UInt8] = []
        let failure: Failure? = input.withUnsafeMutableBufferPointer { input in
            stream.next_in = input.baseAddress
            stream.avail_in = UInt32(truncatingIfNeeded: input.count)
            return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: chunk) { scratch in
                while true {
                    stream.next_out = scratch.baseAddress
                    stream.avail_out = UInt32(chunk)
                    let code = inflate(&stream, Z_NO_FLUSH)
                    let produced = chunk - Int(stream.avail_out)
                    if output.count + produced > maximum { return .tooLarge }
                    output.append(contentsOf: UnsafeBufferPointer(rebasing: scratch.prefix(produced)))
                    switch code {
                    case Z_STREAM_END: return stream.avail_in == 0 ? nil : .corrupt
                    case Z_OK where produced > 0 || stream.avail_in > 0: continue
                    default: return .corrupt
                    }
                }
            }
        }
        if let failure { throw failure }
        return output
    }

    /// `bytes` as one gzip stream, as small as is usual or made with little work.
    static func compress(_ bytes: [UInt8], isFast: Bool = false) -> [UInt8] {
        var stream = z_stream()
        let size = Int32(MemoryLayout<z_stream>.size)
        let memoryLevel: Int32 = 8
        let code = deflateInit2_(
            &stream, isFast ? Z_BEST_SPEED : Z_DEFAULT_COMPRESSION, Z_DEFLATED, gzipWindowBits, memoryLevel,
            Z_DEFAULT_STRATEGY, ZLIB_VERSION,
            size)
        precondition(code == Z_OK, "Gzip: zlib gave no compressor (\(code))")
        defer { deflateEnd(&stream) }
        let bound = Int(deflateBound(&stream, UInt(bytes.count)))
        var input = bytes
        return [UInt8](unsafeUninitializedCapacity: bound) { output, count in
            input.withUnsafeMutableBufferPointer { input in
                stream.next_in = input.baseAddress
                stream.avail_in = UInt32(truncatingIfNeeded: input.count)
                stream.next_out = output.baseAddress
                stream.avail_out = UInt32(truncatingIfNeeded: bound)
                let code = deflate(&stream, Z_FINISH)
                precondition(code == Z_STREAM_END, "Gzip: the bound of deflate was too small")
            }
            count = bound - Int(stream.avail_out)
        }
    }
}
