import Sockets
import Testing

@Suite struct DescriptorBudgetTests {
    @Test(
        "What clients and strangers at the peer port may take leaves descriptors for files",
        arguments: [1024, 4096, 65_536, 1_048_576, Int.max])
    func shares(descriptors: Int) {
        let budget = DescriptorBudget(descriptors: descriptors)
        #expect(descriptors - budget.clients - budget.peers == 75)
        #expect(budget.peers >= 75 && budget.peers <= 1024)
    }

    @Test("With the usual limit clients have as many as with etcd")
    func usual() {
        #expect(DescriptorBudget(descriptors: 1024).clients == 1024 - 150)
        #expect(DescriptorBudget(descriptors: 100).clients == 50, "with few descriptors clients still have half")
        #expect(DescriptorBudget.ofProcess.clients > 0)
    }
}
