import Backend
import Bolt
import Disk
import MVCC
import Testing

/// Random histories against ``StoreModel``: whatever is written, compacted, committed, crashed and reopened, every read
/// answers as the model does.
@Suite("The store against a model")
struct StoreModelTests {
    @Test("answers as the model does through commits, compactions and crashes", arguments: UInt64(1)...40)
    func randomHistory(seed: UInt64) throws {
        var run = try ModelRun(seed: seed)
        for _ in 0..<250 { try run.step() }
        try run.finish()
    }
}

/// One random history.
struct ModelRun {
    var random: SplitMix64
    let disk: MemoryDisk
    var backend: Backend
    var store: Store
    var model = StoreModel()
    /// The model as of the newest commit that ran, and as of the one in flight.
    var durable = StoreModel()
    var inFlight: (job: CommitJob, model: StoreModel)?
    /// Views that are held on to, with the model that they must go on showing.
    var held: [(view: StoreView, model: StoreModel)] = []

    init(seed: UInt64) throws {
        random = SplitMix64(seed: seed)
        disk = MemoryDisk(seed: seed)
        try disk.createDirectory("member")
        backend = try Backend(disk: disk, path: "member/db")
        store = try Store(backend: backend)
        try disk.synchronizeDirectory("/")
    }

    private mutating func pick(_ below: Int) -> Int { Int.random(in: 0..<below, using: &random) }

    private mutating func key() -> String {
        // Keys with long common beginnings, some of which are beginnings of others.
        ["a", "a/", "a/b", "a/b/cccccccc", "a/b/ccccccccd", "z"][pick(6)] + (pick(3) == 0 ? "" : String(pick(20)))
    }

    mutating func step() throws {
        switch pick(100) {
        case 0..<50: try transaction()
        case 50..<70: try read()
        case 70..<74: try compact()
        case 74..<82:
            if store.compactionPending { _ = store.compactionStep(limit: 1 + pick(6)) }
        case 82..<88: try commitPart()
        case 88..<92: hold()
        case 92..<95: if !held.isEmpty { held.remove(at: pick(held.count)) }
        case 95..<97: try reopen()
        case 97..<98: try crash()
        default:
            if inFlight == nil {
                try backend.defragment()
                durable = model
            }
        }
    }

    private mutating func transaction() throws {
        store.begin()
        model.begin()
        var used: Set<String> = []
        for _ in 0..<(1 + pick(4)) {
            let key = key()
            if pick(4) > 0 {
                if !used.insert(key).inserted { continue }
                let value = "v" + String(pick(1000))
                let lease = pick(4) == 0 ? Int64(1 + pick(3)) : 0
                let before = model.inside[key]?.lease ?? 0
                #expect(try store.lease(of: Array(key.utf8)) == before)
                #expect(store.put(key: Array(key.utf8), value: Array(value.utf8), lease: lease) == model.revision + 1)
                model.put(key, value, lease: lease)
            } else {
                let end = key + (pick(2) == 0 ? "" : "~")
                let isSingle = end == key
                let deleted = store.deleteRange(key: Array(key.utf8), end: isSingle ? nil : Array(end.utf8))
                #expect(deleted == model.delete(key...(isSingle ? key : end)))
            }
            if pick(3) == 0 { try compareOwner() }
        }
        let before = model
        let commit = store.end()
        model.end()
        #expect(commit.revision == model.revision)
        let events = model.events.filter { $0.revision.main > before.revision }
        #expect(commit.changes.map(\.revision) == events.map(\.revision))
        for (change, event) in zip(commit.changes, events) {
            #expect(String(decoding: change.key, as: UTF8.self) == event.key)
            #expect(change.isDelete == (event.item == nil))
            #expect(change.lease == event.item?.lease ?? 0)
            #expect(change.version == event.item?.version ?? 0)
        }
        if pick(2) == 0 { store.publish() }
    }

    /// What the owner reads in the middle of a transaction.
    private func compareOwner() throws {
        var found: [StoreModel.Item] = []
        let result = try store.range(key: [0], end: [0]) { found.append(item($0)) }
        #expect(found == model.inside.values.sorted { $0.key < $1.key })
        #expect(result.count == found.count)
        #expect(result.revision == model.insideRevision)
    }

    private mutating func read() throws {
        let view = store.publish()
        try Self.compare(view, model, &random)
        if !held.isEmpty {
            let (view, model) = held[pick(held.count)]
            try Self.compare(view, model, &random)
        }
        #expect(store.keyCount == model.current.count)
    }

    static func compare(_ view: StoreView, _ model: StoreModel, _ random: inout SplitMix64) throws {
        #expect(view.currentRevision == model.revision)
        #expect(view.compactedRevision == model.compacted)
        for _ in 0..<3 {
            let revision = Int64.random(in: 0...(model.revision + 2), using: &random)
            let limit = Int.random(in: 0...5, using: &random)
            let first = ["", "a", "a/b", "a/b/cccccccc1", "b", "z1"].randomElement(using: &random) ?? ""
            let last = ["a", "a/b/cccccccc9", "a0", "z", "zz"].randomElement(using: &random) ?? ""
            let kind = Int.random(in: 0...2, using: &random)
            let end: [UInt8]? = kind == 0 ? nil : kind == 1 ? [0] : Array(last.utf8)
            var found: [StoreModel.Item] = []
            do {
                let result = try view.range(
                    key: Array(first.utf8), end: end, revision: revision, limit: limit,
                    countOnly: limit == 5
                ) { found.append(item($0)) }
                try #require(revision <= model.revision && (revision == 0 || revision >= model.compacted))
                let space = model.spaces[Int(revision == 0 ? model.revision : revision)]
                let expected = space.values.filter { item in
                    kind == 0 ? item.key == first : item.key >= first && (kind == 1 || item.key < last)
                }.sorted { $0.key < $1.key }
                #expect(result.count == expected.count)
                #expect(found == (limit == 5 ? [] : limit == 0 ? expected : Array(expected.prefix(limit))))
            } catch let error as StoreError {
                switch error {
                case .compacted: #expect(revision > 0 && revision < model.compacted)
                case .futureRevision: #expect(revision > model.revision)
                default: throw error
                }
            }
        }
        try compareHistory(view, model, &random)
    }

    private static func compareHistory(_ view: StoreView, _ model: StoreModel, _ random: inout SplitMix64) throws {
        // At the compacted revision itself only what compaction keeps is there, so the history begins behind it.
        let from = Int64.random(in: max(1, model.compacted + 1)...(model.revision + 1), using: &random)
        let byteLimit = Int.random(in: 1...200, using: &random)
        var found: [StoreModel.Event] = []
        var next = from
        while next <= model.revision {
            let start = next
            next = try view.changes(from: next, through: model.revision, byteLimit: byteLimit) { change in
                found.append(
                    StoreModel.Event(
                        revision: change.revision, key: String(decoding: change.key, as: UTF8.self),
                        item: change.isDelete ? nil : item(change.encoded)))
            }
            try #require(next > start)
        }
        #expect(found == model.events.filter { $0.revision.main >= from })
    }

    private mutating func compact() throws {
        let revision = Int64(pick(Int(model.revision) + 2))
        do {
            try store.compact(at: revision)
            #expect(revision > model.compacted && revision <= model.revision)
            model.compacted = revision
        } catch StoreError.compacted {
            #expect(revision <= model.compacted)
        } catch StoreError.futureRevision {
            #expect(revision > model.revision)
        }
    }

    private mutating func commitPart() throws {
        backend.setConsistentIndex(UInt64(model.events.count + 1), term: 2)
        guard let (job, written) = inFlight else {
            if let job = backend.freezeCommit() { inFlight = (job, model) }
            return
        }
        try job.run()
        durable = written
        if pick(2) == 0 { try read() }
        backend.finishCommit(job)
        store.publish()
        inFlight = nil
    }

    private mutating func hold() {
        held.append((store.publish(), model))
        if held.count > 5 { held.removeFirst() }
    }

    /// Stops in an orderly way and starts again.
    private mutating func reopen() throws {
        if let (job, _) = inFlight {
            try job.run()
            backend.finishCommit(job)
            inFlight = nil
        }
        try backend.commitNow()
        durable = model
        // Views pin pages of the database object they came from; the next one knows nothing of them.
        held = []
        backend.close()
        try start()
    }

    /// Loses power: with a commit in flight that has not run, or between commits.
    private mutating func crash() throws {
        disk.crash(random: &random)
        inFlight = nil
        held = []
        model = durable
        try start()
    }

    private mutating func start() throws {
        backend = try Backend(disk: disk, path: "member/db")
        store = try Store(backend: backend)
        #expect(store.currentRevision == model.revision)
        #expect(store.compactedRevision == model.compacted)
        let leases = store.takeRestoredLeases().map { (String(decoding: $0.key, as: UTF8.self), $0.lease) }
        let expected = model.current.values.filter { $0.lease != 0 }.sorted { $0.key < $1.key }
        #expect(leases.map(\.0) == expected.map(\.key))
        #expect(leases.map(\.1) == expected.map(\.lease))
        try read()
    }

    /// Completes the compaction and looks into the file itself.
    mutating func finish() throws {
        let hash = try store.publish().hashByRevision(0)
        while store.compactionStep(limit: 3) {}
        #expect(!store.compactionPending)
        if model.current.isEmpty == false { #expect(try store.publish().hashByRevision(0) == hash) }
        try reopen()
        #expect(store.finishedCompaction == model.compacted)
        if model.current.isEmpty == false { #expect(try store.publish().hashByRevision(0) == hash) }
        held = []
        backend.close()
        let database = try Database(disk: disk, path: "member/db")
        #expect(try Check.findings(in: database).isEmpty)
        var keys: [RevisionKey] = []
        var cursor = try #require(try database.beginRead().bucket(BackendBucket.key.name)).cursor()
        var entry = try cursor.first()
        while let (key, _) = entry {
            keys.append(try #require(RevisionKey(key)))
            entry = try cursor.next()
        }
        let expected = model.keptEvents.map {
            RevisionKey(main: $0.revision.main, sub: $0.revision.sub, isTombstone: $0.item == nil)
        }
        #expect(keys == expected)
    }
}

/// A visited key-value in the model's form, with the index's fields checked against the stored ones.
private func item(_ raw: RawKeyValue) -> StoreModel.Item {
    let item = item(raw.encoded)
    #expect(item.create == raw.createRevision && item.mod == raw.modRevision && item.version == raw.version)
    #expect(raw.hasLease == (item.lease != 0))
    #expect(raw.key.elementsEqual(item.key.utf8))
    return item
}

private func item(_ encoded: UnsafeRawBufferPointer) -> StoreModel.Item {
    guard let fields = try? StoredKeyValue.fields(encoded) else {
        Issue.record("a key-value cannot be decoded")
        return StoreModel.Item(key: "", value: "", create: 0, mod: 0, version: 0, lease: 0)
    }
    return StoreModel.Item(
        key: String(decoding: fields.key, as: UTF8.self), value: String(decoding: fields.value, as: UTF8.self),
        create: fields.createRevision, mod: fields.modRevision, version: fields.version, lease: fields.lease)
}
