import Testing

@testable import StoreV2

@Suite struct KeyTreeTests {
    @Test func aFreshStoreHasTwoSubtrees() throws {
        let tree = KeyTree()
        #expect(tree.names(in: "/") == ["0", "1"])
        #expect(tree.index == 0)
    }
}
