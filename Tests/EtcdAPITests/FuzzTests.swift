import EtcdAPI
import Foundation
import SwiftProtobuf
import Testing
import WireFormat

/// Damages messages in the ways that find mistakes in decoders.
struct Mutator {
    /// Keeps every input small: bounded inputs bound time and memory.
    static let longest = 4096

    var random: SplitMix64

    /// Bytes that begin varints, lengths and tags in the ways that go wrong.
    private static let nasty: [UInt8] = [0x00, 0x01, 0x7f, 0x80, 0xff, 0x0a, 0x12, 0x1a, 0x22, 0x0b, 0x0c, 0x0d, 0x09]

    mutating func mutate(_ seed: [UInt8], with other: [UInt8]) -> [UInt8] {
        var bytes = seed
        for _ in 0..<Int.random(in: 1...4, using: &random) { mutateOnce(&bytes, with: other) }
        if bytes.count > Self.longest { bytes.removeLast(bytes.count - Self.longest) }
        return bytes
    }

    private mutating func mutateOnce(_ bytes: inout [UInt8], with other: [UInt8]) {
        let nasty = Self.nasty.randomElement(using: &random) ?? 0
        guard !bytes.isEmpty else {
            bytes = [nasty]
            return
        }
        let place = Int.random(in: 0..<bytes.count, using: &random)
        switch Int.random(in: 0..<7, using: &random) {
        case 0: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        case 1: bytes[place] = nasty
        case 2: bytes.insert(nasty, at: place)
        case 3: bytes.removeSubrange(place...)
        case 4: bytes.append(contentsOf: other)
        case 5: bytes.insert(contentsOf: other.prefix(16), at: place)
        default: bytes.remove(at: place)
        }
    }

    /// A message of random fields, right in form, whatever they mean.
    mutating func fields(depth: Int = 3) -> [UInt8] {
        var writer = WireWriter()
        for _ in 0..<Int.random(in: 0...5, using: &random) {
            let field = random.chance(1, in: 20) ? 1100 : Int.random(in: 1...14, using: &random)
            switch Int.random(in: 0..<5, using: &random) {
            case 0, 1: writer.alwaysVarint(field, random.uint64())
            case 2: writer.alwaysBytes(field, random.bytes(upTo: 12))
            default: writer.alwaysBytes(field, depth > 0 ? fields(depth: depth - 1) : [])
            }
        }
        return writer.bytes
    }
}

/// Hostile bytes make every decoder throw or decode, never trap, and never build more than a small multiple of them.
@Suite struct FuzzTests {
    /// Inputs for each message: a second or two in a debug build for the whole suite.
    private static let rounds = 1500

    /// Runs mutated seeds through both decoders of a message. What the hand-coded one accepts, the generated one
    /// accepts too, and both read the same; the hand-coded one is stricter about wire types, so not the other way.
    /// One exception: swift-protobuf refuses a tag padded to more than five bytes, etcd's decoder and ours read it.
    private func fuzz<M: HandCodedMessage>(seed: UInt64, _ make: (inout SplitMix64) -> M) throws {
        var mutator = Mutator(random: SplitMix64(seed: seed))
        var options = BinaryDecodingOptions()
        options.discardUnknownFields = true
        options.messageDepthLimit = 1000
        var accepted = 0
        for round in 0..<Self.rounds {
            let first = make(&mutator.random).encoded
            let second = round % 3 == 0 ? mutator.fields() : make(&mutator.random).encoded
            let input = round % 5 == 0 ? mutator.fields() : mutator.mutate(first, with: second)
            guard let message = try? M(bytes: input) else { continue }
            accepted += 1
            let theirs = try? M.Generated(serializedBytes: input, options: options)
            if theirs != nil || !Self.mayHoldPaddedTag(input) {
                #expect(theirs == message.generated, "seed \(seed) round \(round): \(input)")
            }
            let again = message.encoded
            #expect(again.count == message.encodedSize)
            #expect(again.count <= 4 * input.count + 16, "seed \(seed) round \(round): \(input)")
            #expect(try M(bytes: again) == message, "seed \(seed) round \(round): \(input)")
        }
        #expect(accepted > Self.rounds / 20, "the mutations leave too little intact to test anything")
    }

    /// Whether a varint in `bytes` may be longer than five bytes: only such inputs are excused.
    private static func mayHoldPaddedTag(_ bytes: [UInt8]) -> Bool {
        var run = 0
        for byte in bytes {
            run = byte >= 0x80 ? run + 1 : 0
            if run == 5 { return true }
        }
        return false
    }

    @Test func rangeRequest() throws { try fuzz(seed: 101) { $0.rangeRequest() } }
    @Test func putRequest() throws { try fuzz(seed: 102) { $0.putRequest() } }
    @Test func deleteRangeRequest() throws { try fuzz(seed: 103) { $0.deleteRangeRequest() } }
    @Test func compactionRequest() throws { try fuzz(seed: 104) { $0.compactionRequest() } }
    @Test func compare() throws { try fuzz(seed: 105) { $0.compare() } }
    @Test func txnRequest() throws { try fuzz(seed: 106) { $0.txnRequest() } }
    @Test func keyValue() throws { try fuzz(seed: 107) { $0.keyValue() } }
    @Test func responseHeader() throws { try fuzz(seed: 108) { $0.responseHeader() } }
    @Test func raftRequestHeader() throws {
        try fuzz(seed: 109) { RaftRequestHeader(id: $0.uint64(), username: "root", authRevision: $0.uint64()) }
    }

    @Test func raftRequestView() throws {
        var mutator = Mutator(random: SplitMix64(seed: 110))
        for _ in 0..<Self.rounds {
            var entry = WireWriter()
            mutator.random.putRequest().encoded.withUnsafeBytes {
                RaftRequestView.encode(.put, request: $0, header: RaftRequestHeader(id: 9), into: &entry)
            }
            let input = mutator.mutate(entry.bytes, with: mutator.fields())
            input.withUnsafeBytes { bytes in
                guard let view = try? RaftRequestView(bytes) else { return }
                #expect(view.request.count <= bytes.count)
                if let start = view.request.baseAddress, let base = bytes.baseAddress {
                    #expect(start >= base && start + view.request.count <= base + bytes.count)
                }
            }
        }
    }

    /// Every request that a client or a peer can send, by its generated type.
    private static let requests: [any (SwiftProtobuf.Message & Equatable).Type] = [
        Etcdserverpb_RangeRequest.self, Etcdserverpb_PutRequest.self, Etcdserverpb_DeleteRangeRequest.self,
        Etcdserverpb_TxnRequest.self, Etcdserverpb_CompactionRequest.self, Etcdserverpb_WatchRequest.self,
        Etcdserverpb_LeaseGrantRequest.self, Etcdserverpb_LeaseRevokeRequest.self,
        Etcdserverpb_LeaseKeepAliveRequest.self, Etcdserverpb_LeaseTimeToLiveRequest.self,
        Etcdserverpb_LeaseLeasesRequest.self, Etcdserverpb_LeaseCheckpointRequest.self,
        Etcdserverpb_MemberAddRequest.self, Etcdserverpb_MemberRemoveRequest.self,
        Etcdserverpb_MemberUpdateRequest.self, Etcdserverpb_MemberListRequest.self,
        Etcdserverpb_MemberPromoteRequest.self, Etcdserverpb_AlarmRequest.self, Etcdserverpb_StatusRequest.self,
        Etcdserverpb_DefragmentRequest.self, Etcdserverpb_HashRequest.self, Etcdserverpb_HashKVRequest.self,
        Etcdserverpb_SnapshotRequest.self, Etcdserverpb_MoveLeaderRequest.self, Etcdserverpb_DowngradeRequest.self,
        Etcdserverpb_DowngradeVersionTestRequest.self, Etcdserverpb_AuthEnableRequest.self,
        Etcdserverpb_AuthDisableRequest.self, Etcdserverpb_AuthStatusRequest.self,
        Etcdserverpb_AuthenticateRequest.self, Etcdserverpb_AuthUserAddRequest.self,
        Etcdserverpb_AuthUserGetRequest.self, Etcdserverpb_AuthUserListRequest.self,
        Etcdserverpb_AuthUserDeleteRequest.self, Etcdserverpb_AuthUserChangePasswordRequest.self,
        Etcdserverpb_AuthUserGrantRoleRequest.self, Etcdserverpb_AuthUserRevokeRoleRequest.self,
        Etcdserverpb_AuthRoleAddRequest.self, Etcdserverpb_AuthRoleGetRequest.self,
        Etcdserverpb_AuthRoleListRequest.self, Etcdserverpb_AuthRoleDeleteRequest.self,
        Etcdserverpb_AuthRoleGrantPermissionRequest.self, Etcdserverpb_AuthRoleRevokePermissionRequest.self,
        Etcdserverpb_InternalRaftRequest.self, Etcdserverpb_InternalAuthenticateRequest.self,
        Etcdserverpb_Request.self, Etcdserverpb_Metadata.self, Membershippb_ClusterVersionSetRequest.self,
        Membershippb_ClusterMemberAttrSetRequest.self, Membershippb_DowngradeInfoSetRequest.self,
        Leasepb_Lease.self, Leasepb_LeaseInternalRequest.self, V3lockpb_LockRequest.self, V3lockpb_UnlockRequest.self,
        V3electionpb_CampaignRequest.self, V3electionpb_ProclaimRequest.self, V3electionpb_LeaderRequest.self,
        V3electionpb_ResignRequest.self,
    ]

    /// What a generated decoder accepts, it writes back to bytes that mean the same.
    private func fuzzGenerated<M: SwiftProtobuf.Message & Equatable>(
        _ type: M.Type, _ mutator: inout Mutator
    ) throws -> Int {
        var accepted = 0
        for _ in 0..<Self.rounds / 10 {
            let input = mutator.mutate(mutator.fields(), with: mutator.fields())
            guard let message = try? M(serializedBytes: input) else { continue }
            accepted += 1
            let again: [UInt8] = try message.serializedBytes()
            #expect(again.count <= 4 * input.count + 16, "\(type): \(input)")
            #expect(try M(serializedBytes: again) == message, "\(type): \(input)")
        }
        return accepted
    }

    @Test func everyGeneratedRequest() throws {
        var mutator = Mutator(random: SplitMix64(seed: 111))
        for type in Self.requests {
            let accepted = try fuzzGenerated(type, &mutator)
            #expect(accepted > 0, "\(type)")
        }
    }

    @Test func everyRequestOfTheMethodTableIsFuzzed() throws {
        let fuzzed = Set(Self.requests.map { $0.protoMessageName })
        for method in try ProtoService.methods() { #expect(fuzzed.contains(method.request), "\(method.path)") }
    }

    /// Inputs that once were treated wrongly, or sit on an edge, kept for good.
    private static let corpus: [[UInt8]] = [
        [], [0x12, 0x00], [0x12, 0x02, 0x22, 0x00], [0x1a, 0x02, 0x0a, 0x00],
        [0x0a, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
        [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        [0x12, 0x06, 0x22, 0x04, 0x12, 0x02, 0x22, 0x00],
        [128, 130, 128, 128, 128, 0, 1], [8, 34, 128, 132, 136, 128, 128, 128, 128, 0, 128, 128, 1],
        [0xfa, 0xff, 0xff, 0xff, 0x0f, 0x00], [0xfa, 0xff, 0xff, 0xff, 0x1f, 0x00],
    ]

    @Test(arguments: corpus)
    func keptInput(bytes: [UInt8]) {
        func agree<M: HandCodedMessage>(_ type: M.Type) {
            guard let message = try? M(bytes: bytes) else { return }
            var options = BinaryDecodingOptions()
            options.discardUnknownFields = true
            let theirs = try? M.Generated(serializedBytes: bytes, options: options)
            if theirs != nil || !Self.mayHoldPaddedTag(bytes) { #expect(theirs == message.generated) }
        }
        agree(TxnRequest.self)
        agree(RangeRequest.self)
        agree(PutRequest.self)
        agree(DeleteRangeRequest.self)
        agree(KeyValue.self)
    }
}
