/// Why the version-2 store refuses a request, as its API tells it.
public struct StoreV2Error: Error, Equatable, Sendable, CustomStringConvertible {
    /// etcd's numbers for the reasons.
    public enum Code: Int, Sendable {
        case keyNotFound = 100
        case compareFailed = 101
        case notFile = 102
        case notDirectory = 104
        case nodeExists = 105
        case rootIsReadOnly = 107
        case directoryNotEmpty = 108
        case unauthorized = 110
        case previousValueRequired = 201
        case ttlIsNoNumber = 202
        case indexIsNoNumber = 203
        case invalidField = 209
        case invalidForm = 210
        case refreshWithValue = 211
        case refreshWithoutTTL = 212
        case raftInternal = 300
        case leaderElection = 301
        case watcherCleared = 400
        case eventIndexCleared = 401

        /// The text that goes with the number.
        public var message: String {
            switch self {
            case .keyNotFound: "Key not found"
            case .compareFailed: "Compare failed"
            case .notFile: "Not a file"
            case .notDirectory: "Not a directory"
            case .nodeExists: "Key already exists"
            case .rootIsReadOnly: "Root is read only"
            case .directoryNotEmpty: "Directory not empty"
            case .unauthorized: "The request requires user authentication"
            case .previousValueRequired: "PrevValue is Required in POST form"
            case .ttlIsNoNumber: "The given TTL in POST form is not a number"
            case .indexIsNoNumber: "The given index in POST form is not a number"
            case .invalidField: "Invalid field"
            case .invalidForm: "Invalid POST form"
            case .refreshWithValue: "Value provided on refresh"
            case .refreshWithoutTTL: "A TTL must be provided on refresh"
            case .raftInternal: "Raft Internal Error"
            case .leaderElection: "During Leader Election"
            case .watcherCleared: "watcher is cleared due to etcd recovery"
            case .eventIndexCleared: "The event in requested index is outdated and cleared"
            }
        }

        /// The HTTP status of an answer with this error.
        public var status: Int {
            switch self {
            case .keyNotFound: 404
            case .notFile, .directoryNotEmpty: 403
            case .unauthorized: 401
            case .compareFailed, .nodeExists: 412
            case .raftInternal, .leaderElection: 500
            default: 400
            }
        }
    }

    public var code: Code
    /// What exactly, such as the key; bytes, as keys are.
    public var cause: [UInt8]
    /// The store's index when the error arose; 0 when the store was not asked.
    public var index: UInt64

    /// An error of these parts.
    public init(_ code: Code, cause: [UInt8], index: UInt64 = 0) {
        self.code = code
        self.cause = cause
        self.index = index
    }

    /// An error with its cause in words.
    public init(_ code: Code, _ cause: String, index: UInt64 = 0) {
        self.init(code, cause: Array(cause.utf8), index: index)
    }

    public var description: String {
        "\(code.rawValue): \(code.message) (\(String(decoding: cause, as: UTF8.self))) [\(index)]"
    }
}
