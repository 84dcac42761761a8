/// A piece of work that has ended, as a collector is told of it.
public struct Span: Sendable, Equatable {
    /// Whose work it is.
    public enum Kind: UInt64, Sendable {
        /// A part of something that this process does.
        case `internal` = 1
        /// The answer to a call.
        case server = 2
    }

    /// What is known of the work.
    public enum Value: Sendable, Equatable {
        case text(String)
        case number(Int64)
        case flag(Bool)
    }

    /// The trace, this span, and whether it is recorded.
    public var context: TraceContext
    /// The span that this one is a part of; 0 for none.
    public var parent: UInt64
    public var name: String
    public var kind: Kind
    /// In nanoseconds of Unix time.
    public var start: UInt64
    public var end: UInt64
    public var attributes: [(key: String, value: Value)]
    /// Whether the work failed.
    public var isError: Bool

    public init(
        context: TraceContext, parent: UInt64, name: String, kind: Kind, start: UInt64, end: UInt64,
        attributes: [(key: String, value: Value)] = [], isError: Bool = false
    ) {
        self.context = context
        self.parent = parent
        self.name = name
        self.kind = kind
        self.start = start
        self.end = end
        self.attributes = attributes
        self.isError = isError
    }

    public static func == (left: Span, right: Span) -> Bool {
        left.context == right.context && left.parent == right.parent && left.name == right.name
            && left.kind == right.kind && left.start == right.start && left.end == right.end
            && left.isError == right.isError && left.attributes.elementsEqual(right.attributes) { $0 == $1 }
    }
}
