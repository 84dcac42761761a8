import Raft
import RaftMessages
import Testing

@Suite("A cluster without faults")
struct ClusterTests {
    @Test("One member elects itself and commits what is proposed in one call, in order")
    func singleMember() throws {
        let cluster = try TestCluster(1)
        cluster[1].node.campaign()
        try cluster.settle()
        #expect(cluster[1].node.basicStatus.softState == SoftState(leader: 1, role: .leader))
        try cluster[1].node.propose((0..<300).map { [UInt8($0 & 0xff), UInt8($0 >> 8)] })
        let ready = cluster[1].node.ready()
        #expect(ready.entries.count == 300 && ready.mustSync)
        cluster[1].storage.append(ready.entries)
        cluster[1].node.advance()
        try cluster.settle()
        #expect(cluster[1].applied.count == 300)
        #expect(cluster[1].applied == cluster[1].applied.sorted { ($0[1], $0[0]) < ($1[1], $1[0]) })
    }

    @Test("Three members elect a leader by timeout and apply the same entries", arguments: [false, true])
    func threeMembers(preVote: Bool) throws {
        let cluster = try TestCluster(3) { $0.preVote = preVote }
        try cluster.tick(12)
        #expect(cluster[1].node.basicStatus.softState == SoftState(leader: 1, role: .leader))
        try cluster[1].node.propose([[1], [2]])
        try cluster[2].node.propose([[3]])
        try cluster.settle()
        for id in 1...3 { #expect(cluster[UInt64(id)].applied == [[1], [2], [3]]) }
    }

    @Test("A leader without quorum steps down, the others elect another, and its lone entries are replaced")
    func partition() throws {
        let cluster = try TestCluster(3)
        try cluster.tick(12)
        cluster.cutOff = [1]
        try cluster[1].node.propose([[9]])
        try cluster.tick(30)
        #expect(cluster[1].node.basicStatus.softState.role != .leader)
        let leader = cluster[2].node.basicStatus.softState.leader
        #expect(leader == 2 || leader == 3)
        try cluster[leader].node.propose([[7]])
        try cluster.settle()
        cluster.cutOff = []
        try cluster.tick(12)
        for id in 1...3 { #expect(cluster[UInt64(id)].applied == [[7]]) }
    }
}
