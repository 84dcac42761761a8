import EtcdAPI
import Testing

@testable import Applier

/// Answers that are made in pieces.
enum Pieces {
    /// The pieces of the answer that `make` makes must be `whole`, however much is written while it is measured and however
    /// long the pieces are; nil stands for a refusal.
    static func expect(
        _ whole: [UInt8]?, _ make: (_ head: Int) throws(EtcdError) -> ReadAnswer,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        for (head, size) in [(0, 1), (1, 7), (30, 20), (60, 1000), (1 << 20, 1 << 20)] {
            let joined = try? joined(try make(head), size)
            #expect(joined == whole, "head \(head), pieces of \(size)", sourceLocation: sourceLocation)
        }
    }

    static func joined(_ answer: ReadAnswer, _ size: Int) throws -> [UInt8] {
        while try !answer.prepare() {}
        var bytes: [UInt8] = []
        while answer.unwritten > 0 {
            let piece = try answer.nextPiece(size)
            #expect(!piece.isEmpty)
            bytes += piece
        }
        #expect(bytes.count == answer.length)
        return bytes
    }
}
