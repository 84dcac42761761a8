/// A command and its arguments, which are words, `key=value` or `key=(value,value)`.
public struct TranscriptCommand {
    /// One argument.
    struct Argument {
        var key: String
        /// Empty if the argument is a plain word.
        var values: [String]
    }

    /// The command's name.
    public var name: String
    var arguments: [Argument]

    init(_ text: String, line: Int) throws {
        var words = TranscriptCommand.words(text)
        guard !words.isEmpty else { throw Transcript.FormatError(line: line, reason: "empty command") }
        name = words.removeFirst()
        arguments = try words.map { word in
            guard let equals = word.firstIndex(of: "=") else { return Argument(key: word, values: []) }
            let key = String(word[..<equals])
            var value = word[word.index(after: equals)...]
            guard value.hasPrefix("(") else { return Argument(key: key, values: [String(value)]) }
            guard value.hasSuffix(")") else {
                throw Transcript.FormatError(line: line, reason: "\(word): no closing parenthesis")
            }
            value = value.dropFirst().dropLast()
            return Argument(key: key, values: value.split { $0 == "," || $0 == " " }.map(String.init))
        }
    }

    /// The words of `text`, which spaces part except within parentheses.
    private static func words(_ text: String) -> [String] {
        var words: [String] = []
        var word = ""
        var depth = 0
        for character in text {
            if character == "(" { depth += 1 }
            if character == ")" { depth -= 1 }
            if (character == " " || character == "\t") && depth <= 0 {
                if !word.isEmpty { words.append(word) }
                word = ""
            } else {
                word.append(character)
            }
        }
        if !word.isEmpty { words.append(word) }
        return words
    }
}
