/// A configuration that the member cannot run with: everything that is wrong with it, a line for each mistake.
public struct InvalidConfiguration: Error, Equatable, CustomStringConvertible {
    /// One thing that is wrong.
    public struct Mistake: Equatable, Sendable {
        /// What is wrong, in etcd's words where it has some.
        public var text: String
        /// Whether the command line itself cannot be understood, which etcd answers with its usage text.
        public var isUsage: Bool
    }

    public var mistakes: [Mistake]

    /// The mistakes' texts, one a line.
    public var description: String { mistakes.map(\.text).joined(separator: "\n") }

    /// Whether the command line itself cannot be understood.
    public var isUsage: Bool { mistakes.contains(where: \.isUsage) }

    /// The exit code of a process that cannot start because of it: 2 as Go's flag package has it, or 1.
    public var exitCode: Int32 { isUsage ? 2 : 1 }

    /// An error that reads `description`.
    public init(_ description: String) {
        mistakes = [Mistake(text: description, isUsage: false)]
    }

    init(_ mistakes: [Mistake]) {
        self.mistakes = mistakes
    }
}
