import Raft
import RaftMessages

/// The notation of etcd's transcripts for what Raft handles.
enum Description {
    static func of(_ state: HardState) -> String {
        "Term:\(state.term)" + (state.vote == 0 ? "" : " Vote:\(state.vote)") + " Commit:\(state.commit)"
    }

    static func of(_ state: ConfState) -> String {
        "Voters:\(list(state.voters)) VotersOutgoing:\(list(state.votersOutgoing)) "
            + "Learners:\(list(state.learners)) LearnersNext:\(list(state.learnersNext)) AutoLeave:\(state.autoLeave)"
    }

    static func of(_ snapshot: Snapshot) -> String {
        let place = snapshot.metadata
        return "Index:\(place.index) Term:\(place.term) ConfState:\(of(place.confState))"
    }

    /// Several lines, each with its end.
    static func of(_ ready: Ready) -> String {
        var text = ""
        if let state = ready.softState { text += "Lead:\(state.leader) State:\(state.role.rawValue)\n" }
        if let state = ready.hardState { text += "HardState \(of(state))\n" }
        if !ready.readStates.isEmpty {
            text += "ReadStates [" + ready.readStates.map { "{\($0.index) \(list($0.context))}" }.joined(separator: " ")
            text += "]\n"
        }
        if !ready.entries.isEmpty { text += "Entries:\n" + of(ready.entries) }
        if let snapshot = ready.snapshot { text += "Snapshot \(of(snapshot))\n" }
        if !ready.committedEntries.isEmpty { text += "CommittedEntries:\n" + of(ready.committedEntries) }
        if !ready.messages.isEmpty { text += "Messages:\n" }
        for message in ready.messages { text += of(message) + "\n" }
        return text.isEmpty ? "<empty Ready>" : "Ready MustSync=\(ready.mustSync):\n" + text
    }

    static func of(_ message: Message, indent: String = "") -> String {
        var text =
            "\(indent)\(address(message.from))->\(address(message.to)) \(message.type.name) "
            + "Term:\(message.term) Log:\(message.logTerm)/\(message.index)"
        if message.reject { text += " Rejected (Hint: \(message.rejectHint))" }
        if message.commit != 0 { text += " Commit:\(message.commit)" }
        if message.vote != 0 { text += " Vote:\(message.vote)" }
        if message.entries.count == 1 {
            text += " Entries:[\(of(message.entries[0]))]"
        } else if message.entries.count > 1 {
            text += " Entries:["
            for entry in message.entries { text += "\n\(indent)  \(of(entry))" }
            text += "\n\(indent)]"
        }
        if let snapshot = message.snapshot, !snapshot.isEmpty { text += "\n\(indent)  Snapshot: \(of(snapshot))" }
        if !message.responses.isEmpty {
            text += " Responses:["
            for response in message.responses { text += "\n" + of(response, indent: indent + "  ") }
            text += "\n\(indent)]"
        }
        return text
    }

    private static func address(_ id: UInt64) -> String {
        switch id {
        case 0: "None"
        case LocalThread.append: "AppendThread"
        case LocalThread.apply: "ApplyThread"
        default: String(id, radix: 16)
        }
    }

    /// One line an entry, each with its end.
    static func of(_ entries: [Entry]) -> String { entries.map { of($0) + "\n" }.joined() }

    static func of(_ entry: Entry) -> String {
        let place = "\(entry.term)/\(entry.index) "
        switch entry.type {
        case .normal: return place + "EntryNormal " + quoted(entry.data)
        case .configurationChange:
            let change = try? ConfigurationChange(decoding: entry.data)
            return place + "EntryConfChange" + of(change?.asV2)
        case .configurationChangeV2:
            let change = try? ConfigurationChangeV2(decoding: entry.data)
            return place + "EntryConfChangeV2" + of(change)
        }
    }

    private static func of(_ change: ConfigurationChangeV2?) -> String {
        guard let change else { return " malformed" }
        return change.changes.map { single in
            let letter =
                switch single.type {
                case .addNode: "v"
                case .addLearnerNode: "l"
                case .removeNode: "r"
                case .updateNode: "u"
                }
            return " \(letter)\(single.nodeID)"
        }.joined()
    }

    /// The members' progress, one line each.
    static func of(_ progress: [UInt64: Progress]) -> String {
        progress.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)\n" }.joined()
    }

    private static func list(_ numbers: [some BinaryInteger]) -> String {
        "[" + numbers.map { "\($0)" }.joined(separator: " ") + "]"
    }

    /// Bytes as Go quotes a string.
    private static func quoted(_ bytes: [UInt8]) -> String {
        guard let string = String(validating: bytes, as: UTF8.self) else {
            return "\"" + bytes.map { $0 >= 0x80 ? hexEscape($0) : escaped(Unicode.Scalar($0)) }.joined() + "\""
        }
        return "\"" + string.unicodeScalars.map(escaped).joined() + "\""
    }

    private static func escaped(_ scalar: Unicode.Scalar) -> String {
        switch scalar {
        case "\"": "\\\""
        case "\\": "\\\\"
        case "\u{7}": "\\a"
        case "\u{8}": "\\b"
        case "\u{c}": "\\f"
        case "\n": "\\n"
        case "\r": "\\r"
        case "\t": "\\t"
        case "\u{b}": "\\v"
        case _ where scalar.value < 0x20 || scalar.value == 0x7f: hexEscape(UInt8(scalar.value))
        default: String(Character(scalar))
        }
    }

    private static func hexEscape(_ byte: UInt8) -> String {
        "\\x" + (byte < 0x10 ? "0" : "") + String(byte, radix: 16)
    }
}
