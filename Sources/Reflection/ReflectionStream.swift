import WireFormat

/// One stream of questions about a server's services: gRPC's server reflection, of which versions `v1` and `v1alpha`
/// differ in their names alone.
///
/// Source: grpc.io, "GRPC Server Reflection Protocol".
public struct ReflectionStream {
    /// Why a stream must end.
    public enum Failure: Error, Equatable {
        /// The bytes are no request.
        case undecodable
        /// The request asks nothing that is known.
        case noQuestion
    }

    /// gRPC's code for what is not there.
    private static let notFound: UInt64 = 5

    private let index: DescriptorIndex
    private let services: [String]
    /// The files told on this stream; told again only to who asks for them, not to who asks for what imports them.
    private var told: Set<String> = []

    /// A stream over the descriptors of `index`; `services` are the full names of those that the server has.
    public init(index: DescriptorIndex, services: [String]) {
        self.index = index
        self.services = services.sorted()
    }

    private enum Question {
        case fileByName(String)
        case fileOfSymbol(String)
        case fileOfExtension(type: String, number: Int64)
        case extensionNumbers(String)
        case services
    }

    /// Field numbers of `ServerReflectionRequest` and `ServerReflectionResponse`.
    private enum Field {
        static let host = 1
        static let fileByName = 3
        static let fileOfSymbol = 4
        static let fileOfExtension = 5
        static let extensionNumbers = 6
        static let services = 7
        static let validHost = 1
        static let originalRequest = 2
        static let fileResponse = 4
        static let extensionResponse = 5
        static let servicesResponse = 6
        static let errorResponse = 7
    }

    /// The encoded `ServerReflectionResponse` to an encoded `ServerReflectionRequest`.
    public mutating func answer(_ request: [UInt8]) throws(Failure) -> [UInt8] {
        var host = ""
        var question: Question?
        do throws(WireError) {
            (host, question) = try request.span.withUnsafeBytes { (bytes) throws(WireError) in try Self.read(bytes) }
        } catch {
            throw .undecodable
        }
        guard let question else { throw .noQuestion }
        var writer = WireWriter(capacity: request.count + 64)
        writer.string(Field.validHost, host)
        writer.alwaysBytes(Field.originalRequest, request)
        let (field, answer) = answer(question)
        writer.alwaysBytes(field, answer)
        return writer.bytes
    }

    private static func read(_ bytes: UnsafeRawBufferPointer) throws(WireError) -> (String, Question?) {
        var host = ""
        var question: Question?
        var reader = WireReader(bytes)
        while let tag = try reader.next() {
            switch tag.field {
            case Field.host: host = text(try reader.bytes(tag))
            case Field.fileByName: question = .fileByName(text(try reader.bytes(tag)))
            case Field.fileOfSymbol: question = .fileOfSymbol(text(try reader.bytes(tag)))
            case Field.fileOfExtension: question = try readExtension(try reader.bytes(tag))
            case Field.extensionNumbers: question = .extensionNumbers(text(try reader.bytes(tag)))
            case Field.services:
                _ = try reader.bytes(tag)
                question = .services
            default: try reader.skip(tag)
            }
        }
        return (host, question)
    }

    private static func readExtension(_ bytes: UnsafeRawBufferPointer) throws(WireError) -> Question {
        var type = ""
        var number: Int64 = 0
        var reader = WireReader(bytes)
        while let tag = try reader.next() {
            switch tag.field {
            case 1: type = text(try reader.bytes(tag))
            case 2: number = try reader.int64(tag)
            default: try reader.skip(tag)
            }
        }
        return .fileOfExtension(type: type, number: number)
    }

    private static func text(_ bytes: UnsafeRawBufferPointer) -> String { String(decoding: bytes, as: UTF8.self) }

    private mutating func answer(_ question: Question) -> (field: Int, message: [UInt8]) {
        switch question {
        case .fileByName(let name): return files(index.file(named: name), "file", name)
        case .fileOfSymbol(let symbol): return files(index.file(defining: symbol), "symbol", symbol)
        case .fileOfExtension(let type, let number):
            return files(index.file(extending: type, number: number), "extension", "\(number) of \(type)")
        case .extensionNumbers(let type):
            guard let numbers = index.extensionNumbers(of: type) else { return Self.missing("type", type) }
            var writer = WireWriter()
            writer.string(1, type)
            for number in numbers { writer.alwaysVarint(2, UInt64(bitPattern: number)) }
            return (Field.extensionResponse, writer.bytes)
        case .services:
            var writer = WireWriter()
            for service in services {
                var name = WireWriter()
                name.string(1, service)
                writer.alwaysBytes(1, name.bytes)
            }
            return (Field.servicesResponse, writer.bytes)
        }
    }

    /// The file, and what it imports as far as this stream was not told of it.
    private mutating func files(
        _ file: DescriptorIndex.File?, _ kind: String, _ name: String
    ) -> (field: Int, message: [UInt8]) {
        guard let file else { return Self.missing(kind, name) }
        var writer = WireWriter(capacity: file.encoded.count + 8)
        writer.alwaysBytes(1, file.encoded)
        told.insert(file.name)
        var rest = file.dependencies
        while let next = rest.popLast() {
            guard told.insert(next).inserted, let file = index.file(named: next) else { continue }
            writer.alwaysBytes(1, file.encoded)
            rest += file.dependencies
        }
        return (Field.fileResponse, writer.bytes)
    }

    private static func missing(_ kind: String, _ name: String) -> (field: Int, message: [UInt8]) {
        var writer = WireWriter()
        writer.varint(1, notFound)
        writer.string(2, "\(kind) not found: \(name)")
        return (Field.errorResponse, writer.bytes)
    }
}
