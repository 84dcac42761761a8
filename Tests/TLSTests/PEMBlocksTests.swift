import Testing

@testable import TLS

@Suite struct PEMBlocksTests {
    private func blocks(_ text: String) -> [PEMBlocks.Block] { PEMBlocks(Array(text.utf8)).blocks }

    @Test(arguments: [
        "-----BEGIN A-----\nAQID\n-----END A-----\n", "-----BEGIN A-----\r\nAQ\r\nID\r\n-----END A-----",
        "words before\n  -----BEGIN A-----\nProc-Type: 4\n\nAQID  \n-----END A-----\nwords behind\n",
    ])
    func aBlockIsFoundHoweverItIsLaidOut(text: String) {
        #expect(blocks(text) == [.init(kind: "A", bytes: [1, 2, 3])])
    }

    @Test func aLineMayBeLong() {
        let text = String(repeating: "AQID", count: 1000)
        #expect(blocks("-----BEGIN A B-----\n\(text)\n-----END A B-----").first?.bytes.count == 3000)
    }

    @Test(arguments: [
        "", "AQID", "-----BEGIN A-----\nAQID\n", "-----BEGIN A-----\nAQID\n-----END B-----\n",
        "-----BEGIN A-----\n!!!!\n-----END A-----\n", "-----END A-----\n", "-----BEGIN -----\nAQID\n-----END -----\n",
    ])
    func whatIsNotWholeIsNoBlock(text: String) {
        #expect(blocks(text).isEmpty)
    }

    @Test func blocksFollowEachOther() {
        let text = "-----BEGIN A-----\nAQ==\n-----END A-----\n-----BEGIN B-----\nAg==\n-----END B-----\n"
        #expect(blocks(text) == [.init(kind: "A", bytes: [1]), .init(kind: "B", bytes: [2])])
    }
}
