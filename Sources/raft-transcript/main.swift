import Foundation
import RaftTranscript

/// Replays every transcript below a folder, in the order of their names, and tells which differ.
let usage = "usage: raft-transcript DIR [--rewrite]\n"

func fail(_ text: String) -> Never {
    FileHandle.standardError.write(Data(text.utf8))
    exit(1)
}

let arguments = CommandLine.arguments.dropFirst()
let rewrite = arguments.contains("--rewrite")
let folders = arguments.filter { !$0.hasPrefix("--") }
guard folders.count == 1, let folder = folders.first, arguments.allSatisfy({ !$0.hasPrefix("--") || $0 == "--rewrite" })
else { fail(usage) }

guard let names = FileManager.default.enumerator(atPath: folder)?.compactMap({ $0 as? String }) else {
    fail("raft-transcript: \(folder): not a folder that can be read\n")
}
let transcripts = names.filter { $0.hasSuffix(".txt") }.sorted()
if transcripts.isEmpty { fail("raft-transcript: \(folder): no .txt files in it\n") }

var failed = 0
for name in transcripts {
    let url = URL(fileURLWithPath: folder).appendingPathComponent(name)
    do {
        let replay = try Replay(String(contentsOf: url, encoding: .utf8))
        if rewrite {
            try replay.rewritten.write(to: url, atomically: true, encoding: .utf8)
            print("\(name): \(replay.differences.isEmpty ? "unchanged" : "rewritten")")
        } else if replay.differences.isEmpty {
            print("\(name): ok")
        } else {
            failed += 1
            print("\(name): \(replay.differences.count) commands differ")
            if let first = replay.differences.first { print(first.summary) }
        }
    } catch {
        failed += 1
        print("\(name): \(error)")
    }
}
print("\(transcripts.count - failed) passed, \(failed) failed")
exit(failed == 0 ? 0 : 1)
