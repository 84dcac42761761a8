/// Memory for the keys and values that a transaction puts: handed out piece by piece, freed all at once.
final class Arena {
    /// Large enough that the allocator is asked rarely, small enough to keep one for the next transaction.
    private static let chunkSize = 1 << 20
    /// Chunks kept between transactions.
    private static let keptChunks = 8

    private var chunks: [UnsafeMutableRawPointer] = []
    /// Pieces too large for a chunk.
    private var large: [UnsafeMutableRawPointer] = []
    private var current = 0
    private var used = 0

    deinit {
        for piece in chunks + large { piece.deallocate() }
    }

    /// A copy of `bytes` that lasts until ``reset()``.
    @inline(__always)
    func copy(_ bytes: ByteView) -> ByteView {
        let piece = take(bytes.count)
        piece.copyMemory(from: bytes.start, byteCount: bytes.count)
        return ByteView(start: UnsafeRawPointer(piece), count: bytes.count)
    }

    /// `count` bytes that last until ``reset()``.
    @inline(__always)
    func take(_ count: Int) -> UnsafeMutableRawPointer {
        if current < chunks.count && used &+ count <= Self.chunkSize {
            let piece = chunks[current] + used
            used &+= count
            return piece
        }
        return takeElsewhere(count)
    }

    private func takeElsewhere(_ count: Int) -> UnsafeMutableRawPointer {
        if count > Self.chunkSize / 4 {
            let piece = UnsafeMutableRawPointer.allocate(byteCount: count, alignment: 16)
            large.append(piece)
            return piece
        }
        if current < chunks.count { current += 1 }
        if current == chunks.count {
            chunks.append(UnsafeMutableRawPointer.allocate(byteCount: Self.chunkSize, alignment: 16))
        }
        used = count
        return chunks[current]
    }

    /// Takes everything back; a few chunks stay for the next transaction.
    func reset() {
        for piece in large { piece.deallocate() }
        large.removeAll()
        while chunks.count > Self.keptChunks { chunks.removeLast().deallocate() }
        current = 0
        used = 0
    }
}
