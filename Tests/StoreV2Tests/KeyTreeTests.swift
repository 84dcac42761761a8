import Testing

@testable import StoreV2

private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

extension KeyTree {
    /// The whole tree as lines, for tests to compare.
    fileprivate var dump: [String] {
        NodeWalk(root.children ?? Directory(), at: bytes("/"), .all).map { step in
            let node = step.node
            let value = node.isDirectory ? "/" : "=" + String(decoding: node.value, as: UTF8.self)
            return String(decoding: step.path, as: UTF8.self) + value + " \(node.createdIndex) \(node.modifiedIndex)"
                + (node.expiration.map { " until \($0)" } ?? "")
        }.sorted()
    }
}

@Suite struct KeyTreeTests {
    private let time: Int64 = 1_800_000_000_000_000_000

    @Test func requestsAreCountedByTheirActionsWhatEverBecameOfThem() throws {
        let tree = KeyTree()
        try tree.set(bytes("/1/a"), value: bytes("1"))
        try tree.set(bytes("/1/b"), value: bytes("1"))
        _ = try? tree.delete(bytes("/1/none"), recursive: false)
        _ = try? tree.get(bytes("/1/a"), recursive: true)
        #expect(tree.statistics.changes.map { "\($0.action) \($0.count)" } == ["set 2", "delete 1"])
        #expect(tree.statistics.expirations == 0)
    }

    @Test func aFreshStoreHasTwoSubtrees() throws {
        let tree = KeyTree()
        #expect(tree.names(in: "/") == ["0", "1"])
        #expect(tree.index == 0)
        for path in ["/", "/0", "/1", "", "/1/..", "//1/"] {
            #expect(throws: StoreV2Error(.rootIsReadOnly, "/")) { try tree.set(bytes(path), value: []) }
            #expect(throws: StoreV2Error(.rootIsReadOnly, "/")) { try tree.delete(bytes(path), recursive: true) }
        }
    }

    @Test func everyChangeTakesAnIndex() throws {
        let tree = KeyTree()
        #expect(try tree.set(bytes("/1/a"), value: bytes("1")).isCreation)
        let set = try tree.set(bytes("/1/a"), value: bytes("2"))
        #expect(!set.isCreation && set.previous?.value == bytes("1") && set.index == 2 && set.node.createdIndex == 2)
        let swapped = try tree.compareAndSwap(
            bytes("/1/a"), previousValue: bytes("2"), previousIndex: 2, value: bytes("3"))
        #expect(swapped.node.createdIndex == 2 && swapped.index == 3)
        #expect(throws: StoreV2Error(.compareFailed, "[x != 3] [9 != 3]", index: 3)) {
            try tree.compareAndSwap(bytes("/1/a"), previousValue: bytes("x"), previousIndex: 9, value: [])
        }
        #expect(try tree.create(bytes("/1/q"), value: [], unique: true).node.key == bytes("/1/q/00000000000000000004"))
        #expect(throws: StoreV2Error(.notDirectory, "/1/a", index: 4)) { try tree.set(bytes("/1/a/b/c"), value: []) }
        #expect(throws: StoreV2Error(.directoryNotEmpty, "/1/q", index: 4)) {
            try tree.delete(bytes("/1/q"), isDirectory: true)
        }
        #expect(try tree.compareAndDelete(bytes("/1/a"), previousValue: bytes("3"), previousIndex: 0).index == 5)
        #expect(throws: StoreV2Error(.keyNotFound, "/1/a", index: 5)) { try tree.get(bytes("/1/a"), recursive: false) }
    }

    /// Keys are bytes: what looks alike is not the same.
    @Test func keysThatLookAlikeAreTwo() throws {
        let tree = KeyTree()
        try tree.set(bytes("/1/\u{e9}"), value: bytes("one"))
        try tree.set(bytes("/1/e\u{301}"), value: bytes("two"))
        try tree.set(bytes("/1/") + [0xff], value: bytes("three"))
        try tree.set(bytes("/1/") + [0xfe], value: bytes("four"))
        #expect(try tree.get(bytes("/1"), recursive: false).contents?.nodes.count == 4)
    }

    @Test func whatExpiresGoesInOrder() throws {
        let tree = KeyTree()
        for (name, after) in [("c", 30), ("a", 10), ("b", 20), ("d", 10)] {
            try tree.set(bytes("/1/\(name)"), value: [], TimeToLive(expiration: time + Int64(after)))
        }
        try tree.set(bytes("/1/dir/x"), value: [], TimeToLive(expiration: time + 40))
        try tree.update(bytes("/1/dir"), value: [], TimeToLive(expiration: time + 15))
        // Made permanent, and made to stay longer.
        try tree.update(bytes("/1/c"), value: [])
        try tree.compareAndSwap(
            bytes("/1/a"), previousValue: [], previousIndex: 2, value: [],
            TimeToLive(expiration: time + 100, isRefresh: true))
        #expect(tree.hasExpiringNodes)
        tree.expire(until: time + 9)
        #expect(tree.index == 8)
        tree.expire(until: time + 20)
        #expect(tree.index == 11)
        #expect(tree.names(in: "/1") == ["a", "c"])
        let gone = tree.history.list.suffix(3).map { String(decoding: $0.node.key, as: UTF8.self) }
        #expect(gone == ["/1/d", "/1/dir", "/1/b"])
        tree.expire(until: time + 1_000)
        #expect(!tree.hasExpiringNodes && tree.names(in: "/1") == ["c"])
        // Times that mean none.
        try tree.set(bytes("/1/old"), value: [], TimeToLive(expiration: 1_000))
        #expect(!tree.hasExpiringNodes)
    }

    /// Of what expires at one moment the directory goes first and takes the rest along, however the store came to be: each
    /// of them going by itself would take an index of its own, and members would differ.
    @Test func whatExpiresTogetherGoesAlikeEverywhere() throws {
        let tree = KeyTree()
        // All have the index of the one request that made them.
        try tree.set(bytes("/1/a/b/c"), value: [], TimeToLive(expiration: time))
        try tree.update(bytes("/1/a/b"), value: [], TimeToLive(expiration: time))
        try tree.update(bytes("/1/a"), value: [], TimeToLive(expiration: time))
        let copy = try KeyTree(decoding: tree.encoded())
        tree.expire(until: time)
        copy.expire(until: time)
        #expect(tree.index == 4 && copy.index == 4)
        #expect(copy.dump == tree.dump && !copy.hasExpiringNodes && !tree.hasExpiringNodes)
        #expect(copy.history.list.map(\.node) == tree.history.list.map(\.node))
    }

    /// A read finds a state that stays, so that it may be written out while the store goes on.
    @Test func whatWasReadStays() throws {
        let tree = KeyTree()
        for number in 0..<1_000 {
            try tree.set(bytes("/1/\(number % 10)/\(number)"), value: bytes("\(number)"))
        }
        try tree.set(bytes("/1/_hidden/x"), value: [])
        let event = try tree.get(bytes("/1"), recursive: true)
        let whole = KeysText.body(event, trimming: KeyTree.keysPath, now: 0)
        var text = EventText(event, trimming: KeyTree.keysPath, now: 0)
        var pieces: [UInt8] = []
        for number in 0..<1_000 {
            let piece = text.next(bytes: 100, nodes: 3)
            #expect(piece.count < 1_000)
            pieces += piece
            try tree.delete(bytes("/1/\(number % 10)/\(number)"))
            try tree.set(bytes("/1/9/new\(number)"), value: bytes("x"))
        }
        while !text.isOver { pieces += text.next(bytes: 100, nodes: 3) }
        #expect(pieces == whole)
        #expect(event.contents?.nodes.count == 1_010)
        try tree.delete(bytes("/1/9"), recursive: true)
        #expect(event.contents?.nodes.count == 1_010)
    }

    /// etcd 3.4 keeps the users of its version-2 API where no request of ours comes.
    @Test func usersOfVersion2AreNoticed() throws {
        let tree = KeyTree()
        #expect(!tree.asksForUsers)
        try tree.set(bytes("/2/enabled"), value: bytes("true"))
        #expect(tree.asksForUsers)
        try tree.set(bytes("/2/enabled"), value: bytes("false"))
        #expect(!tree.asksForUsers)
    }

    /// As deep as a request of the greatest size can make it: nothing may call itself for each level.
    @Test func aDeepTreeIsNoTrouble() throws {
        let depth = 20_000
        let path = bytes("/1") + Array(repeatElement(bytes("/d"), count: depth).joined())
        var tree = KeyTree()
        try tree.set(path, value: bytes("x"))
        #expect(try tree.get(path, recursive: true).node.value == bytes("x"))
        #expect(tree.hub.isEmpty)
        try tree.delete(bytes("/1/d"), recursive: true)
        #expect(tree.names(in: "/1").isEmpty)
        try tree.set(path, value: bytes("x"))
        // Its end is the test.
        tree = KeyTree()
        #expect(tree.index == 0)
    }

    @Test func aRandomHistoryAndItsImage() throws {
        for seed in 1...20 as ClosedRange<UInt64> {
            var random = SplitMix64(state: seed)
            let tree = KeyTree()
            for _ in 0..<400 { change(tree, &random) }
            let copy = try KeyTree(decoding: tree.encoded())
            #expect(copy.dump == tree.dump)
            #expect(copy.index == tree.index)
            #expect(Array(copy.history.list.map(\.node)) == tree.history.list.map(\.node))
            #expect(copy.encoded() == tree.encoded())
            // Both go on alike.
            var other = random
            for _ in 0..<50 {
                change(tree, &random)
                change(copy, &other)
            }
            tree.expire(until: time + 500)
            copy.expire(until: time + 500)
            #expect(copy.dump == tree.dump)
        }
    }

    private func change(_ tree: KeyTree, _ random: inout SplitMix64) {
        func pick(_ choices: [String]) -> String { choices[Int(random.next() % UInt64(choices.count))] }
        let path = bytes("/1/\(pick(["a", "b", "_c"]))/\(pick(["x", "y/z", "\"<\u{1f98a}\n"]))")
        let time = TimeToLive(
            expiration: random.next() % 4 == 0 ? time + Int64(random.next() % 1_000) : nil,
            isRefresh: random.next() % 8 == 0)
        switch random.next() % 7 {
        case 0: _ = try? tree.create(path, value: bytes("c"), time)
        case 1: _ = try? tree.create(path, isDirectory: true, time)
        case 2, 3: _ = try? tree.set(path, value: bytes(pick(["1", "2"])), time)
        case 4: _ = try? tree.compareAndSwap(path, previousValue: bytes("1"), previousIndex: 0, value: bytes("3"), time)
        case 5: _ = try? tree.delete(path, recursive: true)
        default: _ = try? tree.update(path, value: bytes("u"), time)
        }
    }

    @Test func theImageOfAMomentIsOfThen() throws {
        let tree = KeyTree()
        try tree.set(bytes("/1/a/b"), value: bytes("1"))
        try tree.set(bytes("/1/c"), value: bytes("2"), TimeToLive(expiration: 2_000_000_000_000_000_000))
        let moment = tree.moment
        let then = tree.encoded()
        try tree.set(bytes("/1/a/b"), value: bytes("3"))
        try tree.delete(bytes("/1/c"))
        #expect(moment.image == nil)
        #expect(moment.encoded() == then)
        #expect(tree.encoded() != then)
        #expect(tree.moment.image == tree.encoded())
    }

    @Test func theImageIsMadeOnlyAfterChanges() throws {
        let tree = KeyTree()
        _ = tree.encoded()
        #expect(tree.image != nil)
        _ = try? tree.get(bytes("/1"), recursive: true)
        _ = try? tree.delete(bytes("/1/none"))
        #expect(tree.image != nil)
        try tree.set(bytes("/1/a"), value: [])
        #expect(tree.image == nil)
    }

    /// What etcd 3.4.23 saved after a few requests, its history shortened.
    @Test func anImageOfEtcdIsRead() throws {
        let image = """
            {"Root":{"Path":"/","CreatedIndex":0,"ModifiedIndex":0,"ExpireTime":"0001-01-01T00:00:00Z","Value":"","Children":\
            {"0":{"Path":"/0","CreatedIndex":0,"ModifiedIndex":0,"ExpireTime":"0001-01-01T00:00:00Z","Value":"","Children":{}},\
            "1":{"Path":"/1","CreatedIndex":0,"ModifiedIndex":0,"ExpireTime":"0001-01-01T00:00:00Z","Value":"","Children":{\
            "t":{"Path":"/1/t","CreatedIndex":7,"ModifiedIndex":7,"ExpireTime":"2026-11-21T10:23:54.97426929+01:00",\
            "Value":"\\u003c\\ud83e\\udd8a","Children":null}}}}},\
            "WatcherHub":{"EventHistory":{"Queue":{"Events":[{"action":"set","node":{"key":"/1/t","value":"x","modifiedIndex":7,\
            "createdIndex":7},"refresh":true},{"action":"delete","node":{"key":"/1/d","dir":true,"modifiedIndex":6,"createdIndex":5},\
            "prevNode":{"key":"/1/d","dir":true,"modifiedIndex":5,"createdIndex":5}},null],"Size":2,"Front":1,"Back":1,"Capacity":3},\
            "StartIndex":6,"LastIndex":7}},"CurrentIndex":7,"Stats":{"getsSuccess":3,"expireCount":2,"watchers":9},"CurrentVersion":2}
            """
        let tree = try KeyTree(decoding: bytes(image))
        #expect(tree.index == 7)
        #expect(tree.value(at: "/1/t") == bytes("<\u{1f98a}"))
        #expect(tree.history.list.map(\.index) == [6, 7])
        #expect(tree.history.list.last?.isRefresh == true)
        tree.expire(until: 1_795_252_934_974_269_289)
        #expect(tree.names(in: "/1") == ["t"])
        tree.expire(until: 1_795_252_934_974_269_290 + 86_400_000_000_000 * 30)
        #expect(tree.names(in: "/1").isEmpty)
    }

    @Test func malformedImagesAreRefused() {
        let good = KeyTree().encoded()
        for text in [
            "", "{}", "[]", "null", "{\"Root\":null}", "{\"Root\":{}", "{\"Root\":{\"Children\":{\"a/b\":{}}}}",
            "{\"Root\":{\"Children\":{\"\":{}}}}", "{\"Root\":{\"ExpireTime\":\"yesterday\"}}",
            "{\"Root\":{\"Value\":\"\\q\"}}",
            "{\"Root\":{\"Value\":\"\\u+abc\"}}",
            // One from which there is none to go on with.
            "{\"Root\":{},\"CurrentIndex\":18446744073709551615}",
            "{\"Root\":{\"CreatedIndex\":-1}}", "{\"Root\":{\"CreatedIndex\":99999999999999999999}}", "{\"Root\":{]}",
            String(repeating: "[", count: 100_000),
        ] {
            #expect(throws: KeyTree.Malformed.self, "\(text.prefix(60))") { try KeyTree(decoding: bytes(text)) }
        }
        for length in 0..<min(good.count, 400) {
            #expect(throws: KeyTree.Malformed.self) { try KeyTree(decoding: Array(good.prefix(length))) }
        }
        // Deep nesting is read without calling deep.
        let deep =
            "{\"Root\":{\"Children\":{}},\"X\":" + String(repeating: "[", count: 100_000)
            + String(repeating: "]", count: 100_000) + "}"
        #expect(throws: Never.self) { try KeyTree(decoding: bytes(deep)) }
    }
}

@Suite struct WatchTests {
    @Test func watchersHearWhatConcernsThem() throws {
        let tree = KeyTree()
        func waits(_ path: String, recursive: Bool = false, stream: Bool = false) throws -> UInt64 {
            guard case .waits(let id) = try tree.watch(bytes(path), recursive: recursive, stream: stream, since: 0)
            else {
                Issue.record("nothing has happened yet")
                return 0
            }
            return id
        }
        let exact = try waits("/1/d/a")
        let around = try waits("/1/d", recursive: true)
        let flat = try waits("/1/d")
        let stream = try waits("/", recursive: true, stream: true)
        try tree.set(bytes("/1/d/_hidden/x"), value: [])
        #expect(tree.takeNotifications().isEmpty)
        try tree.set(bytes("/1/d/a"), value: [])
        #expect(tree.takeNotifications().map(\.watcher).sorted() == [exact, around, stream])
        try tree.set(bytes("/1/d/a"), value: [])
        #expect(tree.takeNotifications().map(\.watcher) == [stream])
        let below = try waits("/1/d/a")
        try tree.delete(bytes("/1/d"), recursive: true)
        #expect(Set(tree.takeNotifications().map(\.watcher)) == [below, flat, stream])
        #expect(tree.watcherCount == 1)
        tree.removeWatcher(stream)
        try tree.set(bytes("/1/x"), value: [])
        #expect(tree.takeNotifications().isEmpty && tree.watcherCount == 0)
    }

    /// The work of one who comes or goes must not be that of all: this would take minutes.
    @Test func manyMayWatchOneKey() throws {
        let tree = KeyTree()
        let count = 50_000
        var ids: [UInt64] = []
        for _ in 0..<count {
            guard case .waits(let id) = try tree.watch(bytes("/1/a"), recursive: false, stream: false, since: 0) else {
                continue
            }
            ids.append(id)
        }
        for id in ids.prefix(count / 2) { tree.removeWatcher(id) }
        #expect(tree.watcherCount == count / 2)
        try tree.set(bytes("/1/a"), value: [])
        #expect(tree.takeNotifications().map(\.watcher) == Array(ids.suffix(count / 2)))
        #expect(tree.watcherCount == 0)
    }

    @Test func theHistoryHasAThousandEvents() throws {
        let tree = KeyTree()
        for _ in 0..<2_500 { try tree.set(bytes("/1/a"), value: []) }
        #expect(
            throws: StoreV2Error(.eventIndexCleared, "the requested history has been cleared [1501/1500]", index: 2_500)
        ) {
            try tree.watch(bytes("/1/a"), recursive: false, stream: false, since: 1_500)
        }
        guard case .event(let event) = try tree.watch(bytes("/1/a"), recursive: false, stream: false, since: 1_501)
        else {
            Issue.record("the oldest event is there")
            return
        }
        #expect(event.index == 1_501 && event.storeIndex == 2_500)
        #expect(try KeyTree(decoding: tree.encoded()).history.list.count == 1_000)
    }
}

@Suite struct RequestTests {
    @Test func requestsAreEncodedAsGoDoes() throws {
        var request = StoreV2Request(.put, path: bytes("/1/a"))
        request.id = 300
        request.value = bytes("v")
        request.previousExists = false
        request.expiration = -1
        request.refresh = true
        let decoded = try request.encoded.withUnsafeBytes { try StoreV2Request(decoding: $0) }
        #expect(decoded == request)
        var plain = StoreV2Request(.sync)
        plain.time = 5
        #expect(
            plain.encoded == [8, 0, 18, 4] + bytes("SYNC") + [
                26, 0, 34, 0, 40, 0, 50, 0, 56, 0, 72, 0, 80, 0, 88, 0, 96, 0, 104, 0, 112, 0, 120, 5, 128, 1, 0,
            ])
        #expect(try bytes("").withUnsafeBytes { try StoreV2Request(decoding: $0) } == nil)
    }

    @Test func formsAreReadAsGoReadsThem() {
        var form = Form()
        #expect(form.add(bytes("a=1&b=%2B+&a=2&c&=x&&d=a=b")) == nil)
        #expect(form.add(bytes("a=3&e=5")) == nil)
        #expect(
            form["a"] == bytes("1") && form["b"] == bytes("+ ") && form["c"] == [] && form["d"] == bytes("a=b")
                && form["e"] == bytes("5"))
        #expect(form.add(bytes("f=%zz&g=1")) == "invalid URL escape \"%zz\"")
        #expect(form["f"] == nil && form["g"] == bytes("1"))
        #expect(form.add(bytes("x=%4")) == "invalid URL escape \"%4\"")
        #expect(form.add(bytes("a;b")) == "invalid semicolon separator in query")
        let many = [UInt8](repeatElement(bytes("x&"), count: 10_000).joined())
        #expect(form.add(many) == nil)
        #expect(form.add(many + bytes("x&x")) == "number of URL query parameters exceeded limit")
    }

    @Test func timesAreWrittenAsGoWritesThem() {
        for (nanoseconds, text) in [
            (0, "1970-01-01T00:00:00Z"), (1_795_256_634_974_269_290, "2026-11-21T10:23:54.97426929Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"), (951_782_400_000_000_000, "2000-02-29T00:00:00Z"),
            (Int64.max, "2262-04-11T23:47:16.854775807Z"), (Int64.min, "1677-09-21T00:12:43.145224192Z"),
        ] as [(Int64, String)] {
            #expect(GoTime.text(nanoseconds) == text)
            if nanoseconds != .min { #expect(GoTime.nanoseconds(bytes(text)) == nanoseconds) }
        }
        #expect(
            GoTime.nanoseconds(bytes("2026-11-21T10:23:54+01:00")) == GoTime.nanoseconds(bytes("2026-11-21T09:23:54Z")))
        for text in [
            "", "2026", "2026-13-01T00:00:00Z", "2026-01-01 00:00:00Z", "2026-01-01T00:00:00", "2026-01-01T00:00:00Zx",
            "9999-01-01T00:00:00Z",
        ] {
            #expect(GoTime.nanoseconds(bytes(text)) == nil)
        }
        for (nanoseconds, text) in [
            (0, "0s"), (15, "15ns"), (1_500, "1.5µs"), (2_000_000, "2ms"), (1_565_383_313, "1.565383313s"),
            (60_000_000_000, "1m0s"),
            (3_661_000_000_001, "1h1m1.000000001s"),
        ] as [(Int64, String)] {
            #expect(GoTime.duration(nanoseconds) == text)
        }
    }
}

/// Numbers that are the same for the same seed.
private struct SplitMix64 {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }
}

@Suite struct DirectoryTests {
    /// Against a dictionary; and what was kept of it earlier stays.
    @Test func aDirectoryIsASortedMap() {
        var random = SplitMix64(state: 7)
        var directory = Directory()
        var model: [[UInt8]: UInt64] = [:]
        var kept: [(Directory, [[UInt8]: UInt64])] = []
        for step in 0..<6_000 as Range<UInt64> {
            let name = bytes("\(random.next() % 700)")
            if random.next() % 5 < (step < 3_000 ? 3 : 2) {
                directory.insert(Node(name: name, index: step))
                model[name] = step
            } else {
                directory.remove(name[...])
                model[name] = nil
            }
            if step % 500 == 0 { kept.append((directory, model)) }
            #expect(directory.count == model.count)
            #expect(directory[name[...]]?.createdIndex == model[name])
        }
        for (directory, model) in kept + [(directory, model)] {
            let names = model.keys.sorted { $0.lexicographicallyPrecedes($1) }
            #expect(directory.map(\.name) == names)
            #expect(directory.map(\.createdIndex) == names.map { model[$0] })
        }
    }

    @Test func aDirectoryIsMadeOfAList() {
        let nodes = (100..<1_000).map { Node(name: bytes("\($0)"), index: UInt64($0)) }
        #expect(Directory(nodes).map(\.name) == nodes.map(\.name))
        #expect(Directory(nodes.reversed()).map(\.name) == nodes.map(\.name))
        #expect(Directory(nodes + [Node(name: bytes("500"), index: 1)])[bytes("500")[...]]?.createdIndex == 1)
        #expect(Directory([]).isEmpty)
    }
}
