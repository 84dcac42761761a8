import EtcdAPI
import Foundation
import SwiftProtobuf
import WireFormat

extension [UInt8] {
    /// Lends the bytes to `body`, which may throw anything (`withUnsafeBytes` wants one error type).
    func borrowed<R>(_ body: (UnsafeRawBufferPointer) throws -> R) throws -> R {
        try withUnsafeBytes { try body($0) }
    }
}

/// A hand-coded message and the generated one that it must agree with.
protocol HandCodedMessage: Equatable {
    associatedtype Generated: SwiftProtobuf.Message & Equatable
    init(handDecoding bytes: UnsafeRawBufferPointer) throws
    var encodedSize: Int { get }
    func encode(into writer: inout WireWriter)
    /// The same content in the generated type, field by field.
    var generated: Generated { get }
}

extension HandCodedMessage {
    var encoded: [UInt8] {
        var writer = WireWriter(capacity: encodedSize)
        encode(into: &writer)
        return writer.bytes
    }

    init(bytes: [UInt8]) throws {
        self = try bytes.withUnsafeBytes { try Self(handDecoding: $0) }
    }
}

extension RangeRequest: HandCodedMessage {
    init(handDecoding bytes: UnsafeRawBufferPointer) throws { try self.init(decoding: bytes) }
    var generated: Etcdserverpb_RangeRequest {
        var message = Etcdserverpb_RangeRequest()
        message.key = Data(key)
        message.rangeEnd = Data(rangeEnd)
        message.limit = limit
        message.revision = revision
        message.sortOrder = .init(rawValue: Int(sortOrder.rawValue)) ?? .none
        message.sortTarget = .init(rawValue: Int(sortTarget.rawValue)) ?? .key
        message.serializable = serializable
        message.keysOnly = keysOnly
        message.countOnly = countOnly
        message.minModRevision = minModRevision
        message.maxModRevision = maxModRevision
        message.minCreateRevision = minCreateRevision
        message.maxCreateRevision = maxCreateRevision
        return message
    }
}

extension PutRequest: HandCodedMessage {
    init(handDecoding bytes: UnsafeRawBufferPointer) throws { try self.init(decoding: bytes) }
    var generated: Etcdserverpb_PutRequest {
        var message = Etcdserverpb_PutRequest()
        message.key = Data(key)
        message.value = Data(value)
        message.lease = lease
        message.prevKv = prevKV
        message.ignoreValue = ignoreValue
        message.ignoreLease = ignoreLease
        return message
    }
}

extension DeleteRangeRequest: HandCodedMessage {
    init(handDecoding bytes: UnsafeRawBufferPointer) throws { try self.init(decoding: bytes) }
    var generated: Etcdserverpb_DeleteRangeRequest {
        var message = Etcdserverpb_DeleteRangeRequest()
        message.key = Data(key)
        message.rangeEnd = Data(rangeEnd)
        message.prevKv = prevKV
        return message
    }
}

extension CompactionRequest: HandCodedMessage {
    init(handDecoding bytes: UnsafeRawBufferPointer) throws { try self.init(decoding: bytes) }
    var generated: Etcdserverpb_CompactionRequest {
        var message = Etcdserverpb_CompactionRequest()
        message.revision = revision
        message.physical = physical
        return message
    }
}

extension Compare: HandCodedMessage {
    init(handDecoding bytes: UnsafeRawBufferPointer) throws { try self.init(decoding: bytes) }
    var generated: Etcdserverpb_Compare {
        var message = Etcdserverpb_Compare()
        message.result = .init(rawValue: Int(result.rawValue)) ?? .equal
        message.target = .init(rawValue: Int(target.rawValue)) ?? .version
        message.key = Data(key)
        message.rangeEnd = Data(rangeEnd)
        switch operand {
        case .none: break
        case .version(let number): message.version = number
        case .createRevision(let number): message.createRevision = number
        case .modRevision(let number): message.modRevision = number
        case .value(let value): message.value = Data(value)
        case .lease(let number): message.lease = number
        }
        return message
    }
}

extension RequestOp {
    var generated: Etcdserverpb_RequestOp {
        var message = Etcdserverpb_RequestOp()
        switch self {
        case .none: break
        case .range(let request): message.requestRange = request.generated
        case .put(let request): message.requestPut = request.generated
        case .deleteRange(let request): message.requestDeleteRange = request.generated
        case .txn(let request): message.requestTxn = request.generated
        }
        return message
    }
}

extension TxnRequest: HandCodedMessage {
    init(handDecoding bytes: UnsafeRawBufferPointer) throws { try self.init(decoding: bytes) }
    var generated: Etcdserverpb_TxnRequest {
        var message = Etcdserverpb_TxnRequest()
        message.compare = compare.map(\.generated)
        message.success = success.map(\.generated)
        message.failure = failure.map(\.generated)
        return message
    }
}

extension KeyValue: HandCodedMessage {
    init(handDecoding bytes: UnsafeRawBufferPointer) throws { try self.init(decoding: bytes) }
    var generated: Mvccpb_KeyValue {
        var message = Mvccpb_KeyValue()
        message.key = Data(key)
        message.createRevision = createRevision
        message.modRevision = modRevision
        message.version = version
        message.value = Data(value)
        message.lease = lease
        return message
    }
}

extension ResponseHeader: HandCodedMessage {
    init(handDecoding bytes: UnsafeRawBufferPointer) throws { try self.init(decoding: bytes) }
    var generated: Etcdserverpb_ResponseHeader {
        var message = Etcdserverpb_ResponseHeader()
        message.clusterID = clusterID
        message.memberID = memberID
        message.revision = revision
        message.raftTerm = raftTerm
        return message
    }
}

extension RaftRequestHeader: HandCodedMessage {
    init(handDecoding bytes: UnsafeRawBufferPointer) throws { try self.init(decoding: bytes) }
    var generated: Etcdserverpb_RequestHeader {
        var message = Etcdserverpb_RequestHeader()
        message.id = id
        message.username = username
        message.authRevision = authRevision
        message.requesterMemberID = requesterMemberID
        return message
    }
}
