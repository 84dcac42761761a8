/// One setting of a member: a flag, the environment variable that stands for it, and its key in a configuration file.
struct FlagDefinition: Sendable {
    /// What the value is, and so which texts are one.
    enum Kind: Sendable, Equatable {
        case text
        /// True or false; on the command line the name alone is true.
        case toggle
        /// A whole number from zero.
        case unsigned(upTo: UInt64)
        /// A whole number.
        case signed
        /// A span of time; in a file also a number of nanoseconds, which is all that etcd takes there.
        case duration
        /// URLs behind each other with commas between them.
        case urls
        /// Texts with commas between them.
        case list(inFile: FileForm)
        case choice([String])
        /// What etcd once had and now takes without a word of help.
        case ignored
    }

    /// How a list stands in a configuration file.
    enum FileForm: Sendable, Equatable {
        case sequence, text, either
    }

    /// What a flag does here, where it is not what it does in etcd.
    enum Effect: Sendable, Equatable {
        case served
        /// Taken, and nothing follows from it, because of the reason given.
        case none(String)
    }

    let name: String
    let kind: Kind
    let fallback: String
    let help: String
    /// Names that it had in other versions.
    private(set) var formerNames: [String] = []
    /// Where it stands in a configuration file; nil when it cannot.
    private(set) var filePath: [String]?
    /// Whether only a file has it, so that it is no flag and no variable.
    private(set) var isFileOnly = false
    /// Where else it may stand in a file.
    private(set) var otherFilePaths: [[String]] = []
    private(set) var effect = Effect.served
    /// The warning that its use brings.
    private(set) var warning: String?
    /// The feature that the flag switched before there were feature gates.
    private(set) var gate: String?
    /// Whether its value may stand in a log line.
    private(set) var isSecret = false

    init(_ name: String, _ kind: Kind, _ fallback: String, _ help: String) {
        self.name = name
        self.kind = kind
        self.fallback = fallback
        self.help = help
        filePath = [name]
    }

    static func text(_ name: String, _ fallback: String, _ help: String) -> Self {
        Self(name, .text, fallback, help)
    }

    /// A text that is empty when not given.
    static func text(_ name: String, _ help: String) -> Self {
        Self(name, .text, "", help)
    }

    static func toggle(_ name: String, _ fallback: Bool, _ help: String) -> Self {
        Self(name, .toggle, String(fallback), help)
    }

    static func unsigned(
        _ name: String, _ fallback: UInt64, upTo limit: UInt64 = .max, _ help: String
    ) -> Self {
        Self(name, .unsigned(upTo: limit), String(fallback), help)
    }

    static func signed(_ name: String, _ fallback: Int64, _ help: String) -> Self {
        Self(name, .signed, String(fallback), help)
    }

    static func duration(_ name: String, _ fallback: String, _ help: String) -> Self {
        Self(name, .duration, fallback, help)
    }

    static func urls(_ name: String, _ fallback: String, _ help: String) -> Self {
        Self(name, .urls, fallback, help)
    }

    static func list(
        _ name: String, _ fallback: String, inFile form: FileForm = .sequence, _ help: String
    ) -> Self {
        Self(name, .list(inFile: form), fallback, help)
    }

    /// A list that is empty when not given.
    static func list(_ name: String, inFile form: FileForm = .sequence, _ help: String) -> Self {
        Self(name, .list(inFile: form), "", help)
    }

    static func choice(_ name: String, _ values: [String], _ fallback: String, _ help: String) -> Self {
        Self(name, .choice(values), fallback, help)
    }

    func formerly(_ names: String...) -> Self { changed { $0.formerNames = names } }
    func inFile(_ path: String...) -> Self { inFile(path) }
    func inFile(_ path: [String]) -> Self { changed { $0.filePath = path } }
    func inFileAlso(_ paths: [String]...) -> Self { changed { $0.otherFilePaths = paths } }
    func onlyInFile() -> Self { changed { $0.isFileOnly = true } }
    func notInFile() -> Self { changed { $0.filePath = nil } }
    func withoutEffect(_ reason: String) -> Self { changed { $0.effect = .none(reason) } }
    func warning(_ text: String) -> Self { changed { $0.warning = text } }
    func switching(_ gate: String) -> Self { changed { $0.gate = gate } }
    func secret() -> Self { changed { $0.isSecret = true } }

    private func changed(_ change: (inout Self) -> Void) -> Self {
        var copy = self
        change(&copy)
        return copy
    }

    /// All names that the command line takes.
    var names: [String] { [name] + formerNames }

    /// The environment variable that stands for the flag of this name.
    static func environmentName(_ name: String) -> String {
        "ETCD_" + name.uppercased().replacing("-", with: "_")
    }
}
