import Testing
import Watch

/// Runs a script against a hub and a small store and compares what comes out with what the script says.
///
/// A script is a row of steps with an empty line between them: commands, `----`, and the responses that they bring.
///
/// | command | what it does |
/// | --- | --- |
/// | `limits stream=N response=N fragment=N scans=N` | the hub's limits, before anything else |
/// | `watch s=1 key=a [end=b] [start=N] [id=N] [prev] [noput] [nodelete] [progress] [fragment]` | asks to watch; opens the stream; `end=0` is everything from the key on, an empty key is `key=` |
/// | `open s=1` | |
/// | `cancel s=1 id=N`, `refuse s=1 reason=WORD`, `close s=1` | |
/// | `put a 1`, `delete a` | one revision each |
/// | `txn put a 1; delete b` | one revision |
/// | `batch put a 1; delete b` | a revision each, posted to the hub together |
/// | `newest put a 1` | one revision, posted as if all before it had been posted |
/// | `again` | posts everything since the first revision once more |
/// | `unposted put a 1` | a revision that the hub is not told of |
/// | `gap` | tells the hub that it missed something |
/// | `compact N` | |
/// | `stall s=1` | the client stops reading |
/// | `resume s=1` | the client reads what is pending and goes on |
/// | `step [budget=N]`, `catchup` | one bounded step of catching up, or all of them |
/// | `progress s=1`, `tick s=1` | a progress request; the progress interval passes |
/// | `state` | shows the hub's counts |
struct Transcript {
    private var options = WatchOptions(clusterID: 1, memberID: 2)
    private var hub: WatchHub
    private var store = TestStore()
    private var stalled: [UInt64: Int] = [:]
    private var lines: [String] = []

    private init() {
        hub = WatchHub(options: options, currentRevision: 1)
    }

    /// Runs `script` and records an issue with the actual transcript when it differs.
    static func check(_ script: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
        var runner = Transcript()
        var actual: [String] = []
        for step in script.split(separator: "\n\n") {
            let commands = step.split(separator: "\n").prefix { $0 != "----" }.map(String.init)
            for command in commands { try runner.run(command) }
            actual.append((commands + ["----"] + runner.lines).joined(separator: "\n"))
            runner.lines = []
        }
        let text = actual.joined(separator: "\n\n")
        if text != script {
            Issue.record("the transcript is now:\n\(text)\n", sourceLocation: sourceLocation)
        }
    }

    private mutating func run(_ line: String) throws {
        let words = line.split(separator: " ").map(String.init)
        let rest = words.dropFirst().joined(separator: " ")
        var fields: [String: String] = [:]
        for word in words.dropFirst() {
            let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            fields[parts[0]] = parts.count > 1 ? parts[1] : ""
        }
        let stream = fields["s"].flatMap(UInt64.init).map { WatchStreamID($0) } ?? WatchStreamID(0)
        switch words[0] {
        case "limits": setLimits(fields)
        case "watch": watch(fields, on: stream)
        case "open": hub.openStream(stream)
        case "cancel": hub.cancel(watchID: try #require(fields["id"].flatMap(Int64.init)), on: stream)
        case "refuse": hub.refuse(on: stream, reason: fields["reason"] ?? "")
        case "close": hub.closeStream(stream)
        case "put", "delete": post { $0.apply([Self.operation(line)]) }
        case "txn": post { $0.apply(Self.operations(rest)) }
        case "batch": post { for operation in Self.operations(rest) { $0.apply([operation]) } }
        case "newest":
            store.apply(Self.operations(rest))
            let revision = store.currentRevision
            hub.commit(revision: revision, changes: store.posted(after: revision - 1), history: store)
        case "again": hub.commit(revision: store.currentRevision, changes: store.posted(after: 1), history: store)
        case "unposted": for operation in Self.operations(rest) { store.apply([operation]) }
        case "gap": hub.gap(currentRevision: store.currentRevision, history: store)
        case "compact": store.compact(at: try #require(Int64(rest)))
        case "stall": stalled[stream.rawValue] = 0
        case "resume": hub.streamWritten(stream, bytes: stalled.removeValue(forKey: stream.rawValue) ?? 0)
        case "step":
            try hub.catchUpStep(history: store, byteBudget: fields["budget"].flatMap(Int.init) ?? 1 << 20)
        case "catchup": while try hub.catchUpStep(history: store) { deliver() }
        case "progress": hub.requestProgress(on: stream)
        case "tick": hub.progressTick(on: stream)
        case "state":
            lines.append(
                "revision \(hub.currentRevision), \(hub.streamCount) streams, \(hub.watcherCount) watchers, "
                    + "\(hub.slowWatcherCount) slow, \(hub.eventsSent) events sent")
        default: Issue.record("no such command: \(line)")
        }
        deliver()
    }

    private mutating func setLimits(_ fields: [String: String]) {
        options.streamByteLimit = fields["stream"].flatMap(Int.init) ?? options.streamByteLimit
        options.responseByteLimit = fields["response"].flatMap(Int.init) ?? options.responseByteLimit
        options.fragmentBytes = fields["fragment"].flatMap(Int.init) ?? options.fragmentBytes
        options.maximumScans = fields["scans"].flatMap(Int.init) ?? options.maximumScans
        hub = WatchHub(options: options, currentRevision: 1)
    }

    private mutating func watch(_ fields: [String: String], on stream: WatchStreamID) {
        let end = fields["end"].map { $0 == "0" ? [0] : Array($0.utf8) } ?? []
        var request = WatchCreate(key: Array((fields["key"] ?? "").utf8), rangeEnd: end)
        request.watchID = fields["id"].flatMap(Int64.init) ?? 0
        request.startRevision = fields["start"].flatMap(Int64.init) ?? 0
        request.previousKeyValue = fields["prev"] != nil
        request.excludesPuts = fields["noput"] != nil
        request.excludesDeletes = fields["nodelete"] != nil
        request.progressNotify = fields["progress"] != nil
        request.fragments = fields["fragment"] != nil
        hub.openStream(stream)
        hub.create(request, on: stream)
    }

    private mutating func post(_ change: (inout TestStore) -> Void) {
        change(&store)
        hub.commit(
            revision: store.currentRevision, changes: store.posted(after: hub.currentRevision), history: store)
    }

    /// Shows the hub's output; clients that read acknowledge it at once.
    private mutating func deliver() {
        for delivery in hub.drainOutput() {
            do {
                lines.append(try DecodedResponse(delivery).description)
            } catch {
                Issue.record("undecodable response: \(error)")
            }
            if let pending = stalled[delivery.stream.rawValue] {
                stalled[delivery.stream.rawValue] = pending + delivery.byteCount
            } else {
                hub.streamWritten(delivery.stream, bytes: delivery.byteCount)
            }
        }
    }

    private static func operations(_ text: String) -> [(key: String, value: String?)] {
        text.split(separator: ";").map { operation(String($0)) }
    }

    private static func operation(_ text: String) -> (key: String, value: String?) {
        let words = text.split(separator: " ").map(String.init)
        return (words[1], words[0] == "put" ? words.dropFirst(2).joined(separator: " ") : nil)
    }
}
