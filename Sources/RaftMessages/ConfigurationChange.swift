import WireFormat

/// What a configuration change does to one member.
public enum ConfigurationChangeType: UInt64, Sendable {
    case addNode = 0
    case removeNode = 1
    case updateNode = 2
    case addLearnerNode = 3
}

/// How a change of several members passes through a joint configuration.
public enum ConfigurationChangeTransition: UInt64, Sendable {
    /// Joint only when more than one voter changes, and left automatically.
    case auto = 0
    /// Always joint, left automatically.
    case jointImplicit = 1
    /// Always joint, left by a further, empty change.
    case jointExplicit = 2
}

/// A change of one member, the form that etcd proposes.
public struct ConfigurationChange: Equatable, Sendable {
    /// The proposal's id, by which the proposer recognises it.
    public var id: UInt64
    public var type: ConfigurationChangeType
    public var nodeID: UInt64
    /// The proposer's bytes; in etcd the member as JSON.
    public var context: [UInt8]

    /// A change of `nodeID`.
    public init(id: UInt64 = 0, type: ConfigurationChangeType = .addNode, nodeID: UInt64 = 0, context: [UInt8] = []) {
        self.id = id
        self.type = type
        self.nodeID = nodeID
        self.context = context
    }
}

/// One step of a change of several members.
public struct ConfigurationChangeSingle: Equatable, Sendable {
    public var type: ConfigurationChangeType
    public var nodeID: UInt64

    /// A step for `nodeID`.
    public init(type: ConfigurationChangeType = .addNode, nodeID: UInt64 = 0) {
        self.type = type
        self.nodeID = nodeID
    }
}

/// A change of any number of members; with none, the end of a joint configuration.
public struct ConfigurationChangeV2: Equatable, Sendable {
    public var transition: ConfigurationChangeTransition
    public var changes: [ConfigurationChangeSingle]
    public var context: [UInt8]

    /// A change made of `changes`.
    public init(
        transition: ConfigurationChangeTransition = .auto, changes: [ConfigurationChangeSingle] = [],
        context: [UInt8] = []
    ) {
        self.transition = transition
        self.changes = changes
        self.context = context
    }
}

private func changeType(_ tag: WireTag, _ reader: inout WireReader) throws(WireError) -> ConfigurationChangeType {
    guard let type = ConfigurationChangeType(rawValue: try reader.varint(tag)) else {
        throw WireError(.badValue(field: tag.field), offset: reader.offset)
    }
    return type
}

extension ConfigurationChange: RaftMessageCoding {
    public init(decoding bytes: UnsafeRawBufferPointer) throws(WireError) {
        self.init()
        var reader = WireReader(bytes)
        while let tag = try reader.next() {
            switch tag.field {
            case 1: id = try reader.varint(tag)
            case 2: type = try changeType(tag, &reader)
            case 3: nodeID = try reader.varint(tag)
            case 4: context = try reader.byteArray(tag)
            default: try reader.skip(tag)
            }
        }
    }

    public var encodedSize: Int {
        3 + WireSize.rawVarint(id) + WireSize.rawVarint(type.rawValue) + WireSize.rawVarint(nodeID)
            + WireSize.bytes(4, context.count)
    }

    public func encode(into writer: inout WireWriter) {
        writer.alwaysVarint(1, id)
        writer.alwaysVarint(2, type.rawValue)
        writer.alwaysVarint(3, nodeID)
        writer.bytes(4, context)
    }
}

extension ConfigurationChangeSingle: RaftMessageCoding {
    public init(decoding bytes: UnsafeRawBufferPointer) throws(WireError) {
        self.init()
        var reader = WireReader(bytes)
        while let tag = try reader.next() {
            switch tag.field {
            case 1: type = try changeType(tag, &reader)
            case 2: nodeID = try reader.varint(tag)
            default: try reader.skip(tag)
            }
        }
    }

    public var encodedSize: Int { 2 + WireSize.rawVarint(type.rawValue) + WireSize.rawVarint(nodeID) }

    public func encode(into writer: inout WireWriter) {
        writer.alwaysVarint(1, type.rawValue)
        writer.alwaysVarint(2, nodeID)
    }
}

extension ConfigurationChangeV2: RaftMessageCoding {
    public init(decoding bytes: UnsafeRawBufferPointer) throws(WireError) {
        self.init()
        var reader = WireReader(bytes)
        while let tag = try reader.next() {
            switch tag.field {
            case 1:
                guard let value = ConfigurationChangeTransition(rawValue: try reader.varint(tag)) else {
                    throw WireError(.badValue(field: 1), offset: reader.offset)
                }
                transition = value
            case 2: changes.append(try ConfigurationChangeSingle(decoding: try reader.bytes(tag)))
            case 3: context = try reader.byteArray(tag)
            default: try reader.skip(tag)
            }
        }
    }

    public var encodedSize: Int {
        changes.reduce(1 + WireSize.rawVarint(transition.rawValue)) { $0 + $1.fieldSize }
            + WireSize.bytes(3, context.count)
    }

    public func encode(into writer: inout WireWriter) {
        writer.alwaysVarint(1, transition.rawValue)
        for change in changes { change.encode(as: 2, into: &writer) }
        writer.bytes(3, context)
    }
}
