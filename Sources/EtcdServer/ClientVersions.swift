import GRPC
import Metrics
import Synchronization

/// Counts calls by the version of the API that their clients say they speak.
///
/// Each call is counted, so versions that are known are found without a lock and without a copy: they stand in a list that
/// only grows.
final class ClientVersions: @unchecked Sendable {
    /// Versions that are counted by themselves. Clients choose what they say, so there must be an end.
    private static let limit = 32
    /// No version that is worth a series is longer.
    private static let lengthLimit = 64

    /// A version and those that came after it. It lives as long as the list.
    private final class Known: @unchecked Sendable {
        let version: [UInt8]
        let counter: Counter
        let next = Atomic<Unmanaged<Known>?>(nil)

        init(_ version: [UInt8], _ counter: Counter) {
            self.version = version
            self.counter = counter
        }
    }

    private let family: Family<Counter>
    private let type: String
    private let unknown: Counter
    private let first = Atomic<Unmanaged<Known>?>(nil)
    /// All of the list, held by whoever makes it longer.
    private let known = Mutex<[Known]>([])

    init(_ family: Family<Counter>, type: String) {
        self.family = family
        self.type = type
        unknown = family[type, "unknown"]
    }

    func count(_ metadata: Metadata) {
        metadata.withFirst("client-api-version") { version in
            guard let version else { return unknown.add() }
            var place = first.load(ordering: .acquiring)
            while let entry = place {
                let isFound = entry._withUnsafeGuaranteedRef { known in
                    guard version.elementsEqual(known.version) else {
                        place = known.next.load(ordering: .acquiring)
                        return false
                    }
                    known.counter.add()
                    return true
                }
                if isFound { return }
            }
            add(Array(version))
        }
    }

    /// Counts a call of a version that was not in the list.
    private func add(_ version: [UInt8]) {
        let counter = known.withLock { list -> Counter in
            if let entry = list.first(where: { $0.version == version }) { return entry.counter }
            guard list.count < Self.limit, version.count <= Self.lengthLimit else { return family[type, "other"] }
            let entry = Known(version, family[type, String(decoding: version, as: UTF8.self)])
            if let last = list.last {
                last.next.store(.passUnretained(entry), ordering: .releasing)
            } else {
                first.store(.passUnretained(entry), ordering: .releasing)
            }
            list.append(entry)
            return entry.counter
        }
        counter.add()
    }
}
