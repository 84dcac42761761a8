import Foundation
import RaftTranscript
import Testing

@Suite("Transcripts in etcd's notation")
struct TranscriptTests {
    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("testdata")

    static let names: [String] = {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        return names.filter { $0.hasSuffix(".txt") }.sorted()
    }()

    @Test("Every scenario in testdata has the output that it says", arguments: names)
    func replay(name: String) throws {
        let text = try String(contentsOf: TranscriptTests.folder.appendingPathComponent(name), encoding: .utf8)
        let replay = try Replay(text)
        #expect(replay.differences.isEmpty, "\(name): \(replay.differences.first?.summary ?? "")")
        #expect(replay.rewritten == text, "\(name) is not laid out as rewriting would lay it out")
    }

    @Test("There are scenarios")
    func scenarios() { #expect(TranscriptTests.names.count >= 20) }

    @Test("A difference names the command, its line and what differs")
    func difference() throws {
        let replay = try Replay("# One member.\n\nadd-nodes 1 voters=(1) index=2\n----\nINFO something else\n")
        let difference = try #require(replay.differences.first)
        #expect(difference.line == 3 && difference.command == "add-nodes")
        #expect(difference.summary.contains("  - INFO something else"))
        #expect(difference.summary.contains("  + INFO 1 switched to configuration voters=(1)"))
        #expect(replay.rewritten.hasPrefix("# One member.\n\nadd-nodes 1 voters=(1) index=2\n----\nINFO 1 switched"))
    }

    @Test("Commands may follow one another with one output, and run over lines that end in a backslash")
    func severalCommands() throws {
        let text = "log-level none\nadd-nodes 1 voters=(1) \\\n index=3\ncampaign 1\nstabilize\n----\nok\n"
        let replay = try Replay(text.replacingOccurrences(of: " \\\n", with: ""))
        #expect(replay.differences.isEmpty)
        let joined = try Replay("raft-log \\\n1\n----\nno node 1\n")
        #expect(joined.differences.isEmpty)
    }

    @Test(
        "A malformed file is refused with the line",
        arguments: [
            ("raft-state\n", "line 1: command without ----"),
            ("\n\nadd-nodes 1 voters=(1\n----\n", "line 3: voters=(1: no closing parenthesis"),
            ("raft-state\n----\n----\nopen\n", "line 1: output without end"),
        ])
    func malformed(text: String, reason: String) {
        #expect(throws: Transcript.FormatError.self) { try Replay(text) }
        do { _ = try Replay(text) } catch { #expect("\(error)" == reason) }
    }

    @Test("Output with empty lines stands between double dashes")
    func emptyLines() throws {
        let replay = try Replay("raft-log 9\n----\n----\nno\n\nsuch\n----\n----\n")
        let difference = try #require(replay.differences.first)
        #expect(difference.expected == ["no", "", "such"] && difference.actual == ["no node 9"])
    }
}
