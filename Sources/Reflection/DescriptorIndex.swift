import WireFormat

/// The files of a `FileDescriptorSet`, found by their names and by the symbols that they define.
///
/// Source: google/protobuf/descriptor.proto.
public struct DescriptorIndex: Sendable {
    /// One file, as it is told to a client.
    struct File: Sendable {
        var name = ""
        /// The encoded `FileDescriptorProto`.
        var encoded: [UInt8] = []
        /// The files that it imports.
        var dependencies: [String] = []
    }

    private var files: [String: File] = [:]
    /// The file of each full name: services, methods, messages, fields, enums, values, extensions.
    private var fileOfSymbol: [String: String] = [:]
    /// The file of each extension, by the full name of what it extends.
    private var extensions: [String: [Int64: String]] = [:]
    private var messages: Set<String> = []

    /// The descriptors of all services of an etcd server, and of gRPC's own that it has.
    public static let services: DescriptorIndex = {
        do throws(WireError) {
            return try DescriptorIndex(decoding: HexadecimalDigits.bytes(of: fileDescriptorSetDigits))
        } catch {
            preconditionFailure("the generated descriptors do not decode: \(error)")
        }
    }()

    /// The files of an encoded `FileDescriptorSet`.
    public init(decoding set: [UInt8]) throws(WireError) {
        try Self.forEachField(set) { (field, bytes) throws(WireError) in
            if field == 1 { try add([UInt8](bytes)) }
        }
    }

    func file(named name: String) -> File? { files[name] }

    func file(defining symbol: String) -> File? { fileOfSymbol[symbol].flatMap { files[$0] } }

    func file(extending type: String, number: Int64) -> File? { extensions[type]?[number].flatMap { files[$0] } }

    /// The numbers of the extensions of a message, in ascending order; nil when there is no such message.
    func extensionNumbers(of type: String) -> [Int64]? {
        guard messages.contains(type) else { return nil }
        return (extensions[type] ?? [:]).keys.sorted()
    }

    // MARK: Reading descriptors

    /// Field numbers of `FileDescriptorProto`, `DescriptorProto`, `EnumDescriptorProto` and `ServiceDescriptorProto`.
    private enum Field {
        static let name = 1
        static let filePackage = 2
        static let fileDependency = 3
        static let fileMessage = 4
        static let fileEnum = 5
        static let fileService = 6
        static let fileExtension = 7
        static let messageField = 2
        static let messageMessage = 3
        static let messageEnum = 4
        static let messageExtension = 6
        static let messageOneof = 8
        static let enumValue = 2
        static let serviceMethod = 2
        static let fieldExtendee = 2
        static let fieldNumber = 3
    }

    private mutating func add(_ encoded: [UInt8]) throws(WireError) {
        var file = File(encoded: encoded)
        var package = ""
        try Self.forEachField(encoded) { (field, bytes) throws(WireError) in
            switch field {
            case Field.name: file.name = Self.text(bytes)
            case Field.filePackage: package = Self.text(bytes)
            case Field.fileDependency: file.dependencies.append(Self.text(bytes))
            default: break
            }
        }
        files[file.name] = file
        try Self.forEachField(encoded) { (field, bytes) throws(WireError) in
            switch field {
            case Field.fileMessage: try addMessage(bytes, in: package, file: file.name)
            case Field.fileEnum: try addEnum(bytes, in: package, file: file.name)
            case Field.fileService: try addNames(bytes, children: [Field.serviceMethod], in: package, file: file.name)
            case Field.fileExtension: try addExtension(bytes, in: package, file: file.name)
            default: break
            }
        }
    }

    private mutating func addMessage(
        _ bytes: UnsafeRawBufferPointer, in scope: String, file: String
    ) throws(WireError) {
        let children = [Field.messageField, Field.messageOneof]
        let name = try addNames(bytes, children: children, in: scope, file: file)
        messages.insert(name)
        try Self.forEachField(bytes) { (field, bytes) throws(WireError) in
            switch field {
            case Field.messageMessage: try addMessage(bytes, in: name, file: file)
            case Field.messageEnum: try addEnum(bytes, in: name, file: file)
            case Field.messageExtension: try addExtension(bytes, in: name, file: file)
            default: break
            }
        }
    }

    /// The values of an enum stand beside it, not in it.
    private mutating func addEnum(_ bytes: UnsafeRawBufferPointer, in scope: String, file: String) throws(WireError) {
        fileOfSymbol[Self.join(scope, try Self.name(bytes))] = file
        try Self.forEachField(bytes) { (field, bytes) throws(WireError) in
            if field == Field.enumValue { fileOfSymbol[Self.join(scope, try Self.name(bytes))] = file }
        }
    }

    private mutating func addExtension(
        _ bytes: UnsafeRawBufferPointer, in scope: String, file: String
    ) throws(WireError) {
        fileOfSymbol[Self.join(scope, try Self.name(bytes))] = file
        var extendee = ""
        var number: Int64 = 0
        var reader = WireReader(bytes)
        while let tag = try reader.next() {
            switch tag.field {
            case Field.fieldExtendee: extendee = Self.text(try reader.bytes(tag))
            case Field.fieldNumber: number = try reader.int64(tag)
            default: try reader.skip(tag)
            }
        }
        // A full name begins with a dot.
        extensions[String(extendee.drop { $0 == "." }), default: [:]][number] = file
    }

    /// Notes a symbol and those of `children`, which are fields of its descriptor, and returns its full name.
    @discardableResult
    private mutating func addNames(
        _ bytes: UnsafeRawBufferPointer, children: [Int], in scope: String, file: String
    ) throws(WireError) -> String {
        let name = Self.join(scope, try Self.name(bytes))
        fileOfSymbol[name] = file
        try Self.forEachField(bytes) { (field, bytes) throws(WireError) in
            if children.contains(field) { fileOfSymbol[Self.join(name, try Self.name(bytes))] = file }
        }
        return name
    }

    private static func name(_ bytes: UnsafeRawBufferPointer) throws(WireError) -> String {
        var name = ""
        try forEachField(bytes) { (field, bytes) throws(WireError) in
            if field == Field.name { name = text(bytes) }
        }
        return name
    }

    /// Visits the fields of a message that are texts, bytes or messages.
    private static func forEachField(
        _ bytes: UnsafeRawBufferPointer, _ visit: (Int, UnsafeRawBufferPointer) throws(WireError) -> Void
    ) throws(WireError) {
        var reader = WireReader(bytes)
        while let tag = try reader.next() {
            if tag.type == .bytes {
                try visit(tag.field, try reader.bytes(tag))
            } else {
                try reader.skip(tag)
            }
        }
    }

    private static func forEachField(
        _ bytes: [UInt8], _ visit: (Int, UnsafeRawBufferPointer) throws(WireError) -> Void
    ) throws(WireError) {
        try bytes.span.withUnsafeBytes { (bytes) throws(WireError) in try forEachField(bytes, visit) }
    }

    private static func text(_ bytes: UnsafeRawBufferPointer) -> String { String(decoding: bytes, as: UTF8.self) }

    private static func join(_ scope: String, _ name: String) -> String { scope.isEmpty ? name : "\(scope).\(name)" }
}

/// Bytes written as text, two digits each.
enum HexadecimalDigits {
    /// The bytes that `text` writes.
    static func bytes(of text: StaticString) -> [UInt8] {
        text.withUTF8Buffer { digits in
            precondition(digits.count % 2 == 0, "a byte has two digits")
            return [UInt8](unsafeUninitializedCapacity: digits.count / 2) { bytes, count in
                count = digits.count / 2
                for index in 0..<count { bytes[index] = value(digits[2 * index]) << 4 | value(digits[2 * index + 1]) }
            }
        }
    }

    private static func value(_ digit: UInt8) -> UInt8 {
        let value = digit >= UInt8(ascii: "a") ? digit &- UInt8(ascii: "a") &+ 10 : digit &- UInt8(ascii: "0")
        precondition(value < 16, "a digit is 0 to 9 or a to f")
        return value
    }
}
