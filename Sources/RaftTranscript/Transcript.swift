/// A file of commands, each with the output it is to have.
///
/// A command is a line, perhaps with lines of input below it; after a line of four dashes comes its output, up to an
/// empty line. Output that itself has empty lines stands between two pairs of such dashes. Lines before a command that
/// are empty or begin with `#` are kept as they are.
public struct Transcript {
    /// One command.
    public struct Step {
        /// The empty lines and comments before the command.
        var prelude: [String]
        /// The line of the file on which the command stands, from 1.
        public var line: Int
        /// The command's lines as written, of which several are joined by a backslash at their ends.
        var source: [String]
        /// The command.
        public var command: TranscriptCommand
        /// What stands between the command and the dashes.
        public var input: [String]
        /// The output's lines.
        public var expected: [String]
    }

    /// What is wrong with a file.
    public struct FormatError: Error, CustomStringConvertible {
        public var line: Int
        public var reason: String
        public var description: String { "line \(line): \(reason)" }
    }

    public var steps: [Step] = []
    /// What follows the last command.
    private var epilogue: [String] = []

    private static let separator = "----"

    /// Reads the file's `text`.
    public init(_ text: String) throws {
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        if lines.last == "" { lines.removeLast() }
        var position = 0
        var prelude: [String] = []
        while position < lines.count {
            let line = lines[position]
            if line.isBlank || line.hasPrefix("#") {
                prelude.append(line)
                position += 1
                continue
            }
            steps.append(try Transcript.step(lines, &position, prelude: prelude))
            prelude = []
        }
        epilogue = prelude
    }

    private static func step(_ lines: [String], _ position: inout Int, prelude: [String]) throws -> Step {
        let start = position + 1
        var source = [lines[position]]
        var command = lines[position]
        position += 1
        while command.hasSuffix("\\"), position < lines.count {
            source.append(lines[position])
            command = String(command.dropLast()) + " " + lines[position]
            position += 1
        }
        let parsed = try TranscriptCommand(command, line: start)
        var input: [String] = []
        while position < lines.count, lines[position] != separator {
            input.append(lines[position])
            position += 1
        }
        guard position < lines.count else { throw FormatError(line: start, reason: "command without \(separator)") }
        position += 1
        var expected: [String] = []
        if position < lines.count, lines[position] == separator {
            position += 1
            while position + 1 < lines.count, lines[position] != separator || lines[position + 1] != separator {
                expected.append(lines[position])
                position += 1
            }
            guard position + 1 < lines.count else { throw FormatError(line: start, reason: "output without end") }
            position += 2
        } else {
            while position < lines.count, !lines[position].isBlank {
                expected.append(lines[position])
                position += 1
            }
        }
        return Step(
            prelude: prelude, line: start, source: source, command: parsed, input: input, expected: expected)
    }

    /// The file's text, with `outputs` in place of what each command was to put out.
    public func text(with outputs: [[String]]) -> String {
        var lines: [String] = []
        for (step, output) in zip(steps, outputs) {
            lines += step.prelude + step.source + step.input + [Transcript.separator]
            if output.contains(where: \.isBlank) {
                lines += [Transcript.separator] + output + [Transcript.separator, Transcript.separator]
            } else {
                lines += output
            }
        }
        return (lines + epilogue).map { $0 + "\n" }.joined()
    }
}

extension String {
    fileprivate var isBlank: Bool { allSatisfy { $0 == " " || $0 == "\t" } }
}
