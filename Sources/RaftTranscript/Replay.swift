/// A transcript carried out and compared with what it says.
public struct Replay {
    /// A command whose output differs.
    public struct Difference {
        /// The command's line in the file.
        public var line: Int
        public var command: String
        public var expected: [String]
        public var actual: [String]

        /// The outputs' lines, those that differ marked, from the first difference on.
        public var summary: String {
            let same = zip(expected, actual).prefix { $0 == $1 }.count
            let missing = expected.dropFirst(same).prefix(Difference.shownLines).map { "  - \($0)\n" }
            let surplus = actual.dropFirst(same).prefix(Difference.shownLines).map { "  + \($0)\n" }
            return "line \(line): \(command): output differs after \(same) lines\n" + (missing + surplus).joined()
        }

        private static let shownLines = 12
    }

    public private(set) var differences: [Difference] = []
    /// The file with the outputs as they are now.
    public let rewritten: String

    /// Carries out the transcript with `text`.
    public init(_ text: String) throws {
        let transcript = try Transcript(text)
        let group = TranscriptGroup()
        var outputs: [[String]] = []
        for step in transcript.steps {
            let output = group.run(step)
            outputs.append(output)
            if output != step.expected {
                differences.append(
                    Difference(line: step.line, command: step.command.name, expected: step.expected, actual: output))
            }
        }
        rewritten = transcript.text(with: outputs)
    }
}
