import EtcdAPI
import WireFormat

/// The random numbers of the tests: the same seed gives the same messages on every machine.
struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

/// Messages whose fields are often zero, often small and now and then extreme, because those are the cases that a
/// protobuf coder treats differently.
extension SplitMix64 {
    mutating func chance(_ one: Int, in many: Int) -> Bool { Int.random(in: 0..<many, using: &self) < one }

    mutating func bytes(upTo limit: Int = 40) -> [UInt8] {
        switch Int.random(in: 0..<4, using: &self) {
        case 0: return []
        case 1: return [0]
        default:
            let count = chance(1, in: 12) ? 300 : Int.random(in: 1...limit, using: &self)
            return (0..<count).map { _ in UInt8.random(in: 0...255, using: &self) }
        }
    }

    mutating func int64() -> Int64 {
        switch Int.random(in: 0..<6, using: &self) {
        case 0, 1: 0
        case 2: Int64.random(in: 1...127, using: &self)
        case 3: Int64.random(in: 128...1_000_000, using: &self)
        case 4: [Int64.max, Int64.min, -1, 1 << 32].randomElement(using: &self) ?? 0
        default: Int64.random(in: Int64.min...Int64.max, using: &self)
        }
    }

    mutating func uint64() -> UInt64 { UInt64(bitPattern: int64()) }

    mutating func enumeration(_ defined: Int32) -> Int32 {
        chance(1, in: 10)
            ? [-1, Int32.max, Int32.min, defined + 1].randomElement(using: &self) ?? 0
            : Int32.random(in: 0...defined, using: &self)
    }

    mutating func rangeRequest() -> RangeRequest {
        var request = RangeRequest(key: bytes(), rangeEnd: bytes())
        request.limit = int64()
        request.revision = int64()
        request.sortOrder = SortOrder(rawValue: enumeration(2))
        request.sortTarget = SortTarget(rawValue: enumeration(4))
        request.serializable = Bool.random(using: &self)
        request.keysOnly = Bool.random(using: &self)
        request.countOnly = Bool.random(using: &self)
        request.minModRevision = int64()
        request.maxModRevision = int64()
        request.minCreateRevision = int64()
        request.maxCreateRevision = int64()
        return request
    }

    mutating func putRequest() -> PutRequest {
        var request = PutRequest(key: bytes(), value: bytes(), lease: int64())
        request.prevKV = Bool.random(using: &self)
        request.ignoreValue = Bool.random(using: &self)
        request.ignoreLease = Bool.random(using: &self)
        return request
    }

    mutating func deleteRangeRequest() -> DeleteRangeRequest {
        var request = DeleteRangeRequest(key: bytes(), rangeEnd: bytes())
        request.prevKV = Bool.random(using: &self)
        return request
    }

    mutating func compactionRequest() -> CompactionRequest {
        CompactionRequest(revision: int64(), physical: Bool.random(using: &self))
    }

    mutating func compare() -> Compare {
        let operand: Compare.Operand =
            switch Int.random(in: 0..<6, using: &self) {
            case 0: .none
            case 1: .version(int64())
            case 2: .createRevision(int64())
            case 3: .modRevision(int64())
            case 4: .value(bytes())
            default: .lease(int64())
            }
        return Compare(
            key: bytes(), target: Compare.Target(rawValue: enumeration(4)),
            result: Compare.Result(rawValue: enumeration(3)), operand: operand, rangeEnd: bytes())
    }

    mutating func requestOp(depth: Int) -> RequestOp {
        switch Int.random(in: 0..<(depth > 0 ? 9 : 7), using: &self) {
        case 0: .none
        case 1, 2: .range(rangeRequest())
        case 3, 4: .put(putRequest())
        case 5, 6: .deleteRange(deleteRangeRequest())
        default: .txn(txnRequest(depth: depth - 1))
        }
    }

    mutating func txnRequest(depth: Int = 3) -> TxnRequest {
        TxnRequest(
            compare: (0..<Int.random(in: 0...3, using: &self)).map { _ in compare() },
            success: (0..<Int.random(in: 0...3, using: &self)).map { _ in requestOp(depth: depth) },
            failure: (0..<Int.random(in: 0...2, using: &self)).map { _ in requestOp(depth: depth) })
    }

    mutating func keyValue() -> KeyValue {
        KeyValue(
            key: bytes(), createRevision: int64(), modRevision: int64(), version: int64(), value: bytes(),
            lease: int64())
    }

    mutating func responseHeader() -> ResponseHeader {
        ResponseHeader(clusterID: uint64(), memberID: uint64(), revision: int64(), raftTerm: uint64())
    }
}
