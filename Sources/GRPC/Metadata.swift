/// The fields that travel with a call: an ordered list of lower-case names and values. A name may occur several times.
/// Values of names that end in `-bin` are arbitrary bytes; all others are printable ASCII.
///
/// The list is one flat array in wire form, so that a connection whose calls all carry the same fields can share one
/// copy among them. Reading a field is a walk over the list.
public struct Metadata: Sendable, Equatable, ExpressibleByDictionaryLiteral {
    /// Per field: length of the name (2 bytes), length of the value (4 bytes), the name, the value as on the wire.
    private(set) var storage: [UInt8]
    /// How many fields there are.
    public private(set) var count: Int

    private static let fieldHeader = 6
    /// A name's length is kept in two bytes.
    static let maximumNameLength = Int(UInt16.max)

    /// No fields.
    public init() {
        storage = []
        count = 0
    }

    public init(dictionaryLiteral elements: (String, String)...) {
        self.init()
        for (name, value) in elements { add(name, value) }
    }

    init(storage: [UInt8], count: Int) {
        self.storage = storage
        self.count = count
    }

    /// Whether there are no fields.
    public var isEmpty: Bool { count == 0 }

    /// Adds a field behind those of the same name. An octet that a header cannot carry becomes `?`, unless the name
    /// ends in `-bin`. `name` must consist of `0-9a-z_-.` (upper-case letters are lowered).
    public mutating func add(_ name: String, _ value: String) {
        add(name, Array(value.utf8))
    }

    /// Adds a field behind those of the same name; see `add(_:_:)` for text.
    public mutating func add(_ name: String, _ value: [UInt8]) {
        var lowered: [UInt8] = []
        for byte in name.utf8 {
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): lowered.append(byte | 0x20)
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"),
                UInt8(ascii: "_"), UInt8(ascii: "."):
                lowered.append(byte)
            default: preconditionFailure("Metadata: the name \(name) has a character other than 0-9a-z_-.")
            }
        }
        precondition(
            !lowered.isEmpty && lowered.count <= Self.maximumNameLength, "Metadata: a name has 1 to 65535 characters")
        let wire =
            lowered.hasSuffix("-bin")
            ? Base64.encode(value) : value.map { $0 >= 0x20 && $0 <= 0x7E ? $0 : UInt8(ascii: "?") }
        lowered.withUnsafeBytes { name in
            wire.withUnsafeBytes { value in Self.append(name: name, value: value, to: &storage) }
        }
        count += 1
    }

    /// The first value of `name` as text, nil when there is none.
    public func first(_ name: String) -> String? {
        firstBytes(name).map { String(decoding: $0, as: UTF8.self) }
    }

    /// The first value of `name`, decoded where the name ends in `-bin`; nil when there is none.
    public func firstBytes(_ name: String) -> [UInt8]? {
        var found: [UInt8]?
        forEachField { field, value in
            guard found == nil, field.elementsEqual(name.utf8) else { return }
            found = Self.decoded(field, value)
        }
        return found
    }

    /// What `body` makes of the first value of `name` as it is on the wire, or of nil when there is none. Nothing is
    /// copied. `name` is one that does not end in `-bin`.
    public func withFirst<Result>(_ name: StaticString, _ body: (UnsafeRawBufferPointer?) -> Result) -> Result {
        let wanted = UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)
        return storage.withUnsafeBytes { bytes in
            var offset = 0
            while offset < bytes.count {
                let (name, value) = Self.field(in: bytes, at: &offset)
                if name.count == wanted.count, name.elementsEqual(wanted) { return body(value) }
            }
            return body(nil)
        }
    }

    /// All values of `name` in order, decoded where the name ends in `-bin`. Several binary values in one field,
    /// separated by commas, count as several.
    public func all(_ name: String) -> [[UInt8]] {
        var values: [[UInt8]] = []
        forEachField { field, value in
            guard field.elementsEqual(name.utf8) else { return }
            if Self.isBinary(field) {
                for part in value.split(separator: UInt8(ascii: ",")) { Base64.decode(part).map { values.append($0) } }
            } else {
                values.append(Array(value))
            }
        }
        return values
    }

    /// Every field in order, as name and value, values decoded where the name ends in `-bin`.
    public var fields: [(name: String, value: [UInt8])] {
        var list: [(name: String, value: [UInt8])] = []
        list.reserveCapacity(count)
        forEachField { name, value in
            list.append((String(decoding: name, as: UTF8.self), Self.decoded(name, value)))
        }
        return list
    }

    /// Calls `body` with the name and value of every field, in wire form.
    func forEachField(_ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Void) {
        storage.withUnsafeBytes { bytes in
            var offset = 0
            while offset < bytes.count {
                let (name, value) = Self.field(in: bytes, at: &offset)
                body(name, value)
            }
        }
    }

    /// The field that begins at `offset`, which moves behind it.
    private static func field(
        in bytes: UnsafeRawBufferPointer, at offset: inout Int
    ) -> (name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {
        let nameLength = Int(bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
        let valueLength = Int(bytes.loadUnaligned(fromByteOffset: offset + 2, as: UInt32.self))
        let name = offset + fieldHeader
        let value = name + nameLength
        offset = value + valueLength
        return (
            UnsafeRawBufferPointer(rebasing: bytes[name..<value]),
            UnsafeRawBufferPointer(rebasing: bytes[value..<offset])
        )
    }

    /// Appends one field in wire form to a flat list.
    static func append(name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer, to storage: inout [UInt8]) {
        let nameLength = UInt16(truncatingIfNeeded: name.count)
        let valueLength = UInt32(truncatingIfNeeded: value.count)
        withUnsafeBytes(of: nameLength) { storage.append(contentsOf: $0) }
        withUnsafeBytes(of: valueLength) { storage.append(contentsOf: $0) }
        storage.append(contentsOf: name)
        storage.append(contentsOf: value)
    }

    private static func isBinary(_ name: UnsafeRawBufferPointer) -> Bool { name.suffix(4).elementsEqual("-bin".utf8) }

    private static func decoded(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> [UInt8] {
        guard isBinary(name) else { return Array(value) }
        return Base64.decode(value) ?? []
    }
}

extension [UInt8] {
    fileprivate func hasSuffix(_ text: StaticString) -> Bool {
        text.withUTF8Buffer { suffix($0.count).elementsEqual($0) }
    }
}
