/// What a field holds.
enum FieldKind: Sendable {
    case int32, int64, uint32, uint64, bool, string, bytes
    case enumeration(Int)
    case message(Int)
}

/// One field of a message.
struct FieldSchema: Sendable {
    var number: Int
    /// The field's name in the definition, which is the one that is written.
    var name: String
    /// The name in lower camel case, which is read too.
    var camelName: String
    var kind: FieldKind
    var isRepeated: Bool
    /// Which of the message's `oneof` groups the field is in.
    var group: Int?
    /// `"name":`, as it is written.
    var label: [UInt8]
}

/// A message type, with its fields in the order of their definition.
struct MessageSchema: Sendable {
    var name: String
    var fields: [FieldSchema] = []
    /// The place in `fields` of each number; the numbers are small.
    var places: [Int: Int] = [:]
    /// The place in `fields` of each name, and whether it is only the one in camel case.
    var names: [[UInt8]: (place: Int, isCamel: Bool)] = [:]
}

/// An enumeration.
struct EnumerationSchema: Sendable {
    /// As Go names the type: parts joined by underscores behind the package.
    var name: String
    var names: [Int32: String] = [:]
    var values: [[UInt8]: Int32] = [:]
}

/// All messages of etcd's API, by their names.
public struct Schema: Sendable {
    var messages: [MessageSchema] = []
    var enumerations: [EnumerationSchema] = []
    private var messagePlaces: [String: Int] = [:]
    private var methodTypes: [String: (request: Int, response: Int)] = [:]

    /// The schema of etcd 3.7.
    public static let etcd = Schema(schemaText.description)

    /// Reads the form that Scripts/generate-json-schema writes.
    init(_ text: String) {
        var enumerationPlaces: [String: Int] = [:]
        let lines = text.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
        // Types refer to each other, so all names come first.
        for line in lines {
            switch line[0] {
            case "message":
                messagePlaces[line[1]] = messages.count
                messages.append(MessageSchema(name: line[1]))
            case "enum":
                enumerationPlaces[line[1]] = enumerations.count
                enumerations.append(EnumerationSchema(name: line[1]))
            default: break
            }
        }
        var message = 0
        var enumeration = 0
        for line in lines {
            switch line[0] {
            case "message": message = messagePlaces[line[1]] ?? 0
            case "enum": enumeration = enumerationPlaces[line[1]] ?? 0
            case "value":
                let number = Int32(line[2]) ?? 0
                enumerations[enumeration].names[number] = line[1]
                enumerations[enumeration].values[Array(line[1].utf8)] = number
            case "field", "repeated":
                let kind: FieldKind
                switch line[3] {
                case "int32": kind = .int32
                case "int64": kind = .int64
                case "uint32": kind = .uint32
                case "uint64": kind = .uint64
                case "bool": kind = .bool
                case "string": kind = .string
                case "bytes": kind = .bytes
                case let name:
                    if let place = messagePlaces[name] {
                        kind = .message(place)
                    } else if let place = enumerationPlaces[name] {
                        kind = .enumeration(place)
                    } else {
                        preconditionFailure("Schema: no type \(name)")
                    }
                }
                let group = line.count > 4 ? Int(line[4]) : nil
                messages[message].add(
                    number: Int(line[2]) ?? 0, name: line[1], kind: kind, isRepeated: line[0] == "repeated",
                    group: group)
            case "rpc":
                guard let request = messagePlaces[line[2]], let response = messagePlaces[line[3]] else {
                    preconditionFailure("Schema: no types for \(line[1])")
                }
                methodTypes[line[1]] = (request, response)
            default: preconditionFailure("Schema: no line begins with \(line[0])")
            }
        }
    }

    /// What is read and written for the method at `path`; nil when there is no such method.
    public func method(_ path: String) -> MethodMapping? {
        methodTypes[path].map { MethodMapping(schema: self, request: $0.request, response: $0.response) }
    }

    /// The type with this name.
    public func type(_ name: String) -> MessageMapping? {
        messagePlaces[name].map { MessageMapping(schema: self, type: $0) }
    }
}

extension MessageSchema {
    fileprivate mutating func add(number: Int, name: String, kind: FieldKind, isRepeated: Bool, group: Int?) {
        var camel = ""
        var raises = false
        for character in name {
            if character == "_" {
                raises = true
            } else {
                camel += raises ? character.uppercased() : String(character)
                raises = false
            }
        }
        let place = fields.count
        places[number] = place
        names[Array(camel.utf8)] = (place, true)
        names[Array(name.utf8)] = (place, false)
        fields.append(
            FieldSchema(
                number: number, name: name, camelName: camel, kind: kind, isRepeated: isRepeated, group: group,
                label: Array("\"\(name)\":".utf8)))
    }
}

/// A message type between protobuf's bytes and JSON.
public struct MessageMapping: Sendable {
    let schema: Schema
    let type: Int

    /// The JSON of an encoded message, without white space.
    /// - Throws: ``JSONMappingError`` when the bytes are no message of this type.
    public func json(_ message: [UInt8]) throws(JSONMappingError) -> [UInt8] {
        var writer = JSONWriter(schema: schema)
        let failure = message.withUnsafeBytes { bytes -> JSONMappingError? in
            do throws(JSONMappingError) {
                try writer.write(bytes, as: type, depth: 0)
                return nil
            } catch {
                return error
            }
        }
        if let failure { throw failure }
        return writer.json
    }

    /// The JSON of a message whose bytes come piece by piece.
    public func pieces() -> JSONPieces { JSONPieces(schema, type: type) }

    /// The encoded message of a JSON value that ``JSONScanner`` accepted.
    /// - Throws: ``JSONMappingError``, worded as Go words it.
    public func message(_ json: ArraySlice<UInt8>) throws(JSONMappingError) -> [UInt8] {
        var reader = JSONReader(schema: schema, bytes: json)
        return try reader.readMessage(type)
    }
}

/// A method's types.
public struct MethodMapping: Sendable {
    public let request: MessageMapping
    public let response: MessageMapping

    init(schema: Schema, request: Int, response: Int) {
        self.request = MessageMapping(schema: schema, type: request)
        self.response = MessageMapping(schema: schema, type: response)
    }
}

/// Why a message cannot be had from JSON, or JSON from a message.
public struct JSONMappingError: Error, Equatable, CustomStringConvertible {
    public let description: String
}
