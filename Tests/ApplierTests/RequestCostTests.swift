import EtcdAPI
import Testing

@testable import Applier

/// What requests are counted with against the quota: etcd's numbers.
@Suite struct RequestCostTests {
    private func put(_ bytes: Int) -> RequestOp {
        .put(PutRequest(key: [1], value: [UInt8](repeating: 0, count: bytes - 1)))
    }

    private func txn(_ success: [RequestOp], _ failure: [RequestOp] = []) -> TxnRequest {
        var request = TxnRequest()
        request.success = success
        request.failure = failure
        return request
    }

    @Test func aPutCostsItsBytesAndSomething() {
        #expect(RequestCost.put(key: 3, value: 100) == 359)
        #expect(RequestCost.leaseGrant == 64)
    }

    @Test func aTransactionCostsItsDearerBranch() {
        let reading = RequestOp.range(RangeRequest())
        #expect(RequestCost.txn(txn([reading])) == 0)
        #expect(RequestCost.txn(txn([put(10), reading, put(20)], [put(40)])) == 542)
        #expect(RequestCost.txn(txn([put(10)], [put(40)])) == 296)
    }

    @Test func nestedPutsCountWhereTheyAreProposedAndNotWhereAllMembersMustAgree() {
        let nested = txn([.txn(txn([put(10)]))], [put(1)])
        #expect(RequestCost.txn(nested) == 266)
        // etcd's members apply such a transaction while the alarm is raised.
        #expect(RequestCost.appliedTxn(nested) == 257)
        #expect(RequestCost.appliedTxn(txn([.txn(txn([put(10)]))])) == 0)
    }
}
