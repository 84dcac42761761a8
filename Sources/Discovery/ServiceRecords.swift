/// A service's record in the DNS (RFC 2782).
public struct ServiceRecord: Equatable, Sendable {
    public var priority: Int
    public var weight: Int
    public var port: Int
    /// The host's name, without the dot at its end.
    public var target: String

    /// A record of these parts.
    public init(priority: Int, weight: Int, port: Int, target: String) {
        self.priority = priority
        self.weight = weight
        self.port = port
        self.target = target
    }
}

/// An answer of the DNS (RFC 1035), as far as it is about services. It comes from the net, so nothing in it is trusted.
public enum DNSAnswer {
    /// What is wrong with an answer.
    public struct Malformed: Error, Equatable, CustomStringConvertible {
        public var description: String
    }

    private static let headerBytes = 12
    private static let serviceType = 33
    /// Pointers lead backwards, so no name needs more of them than it has labels.
    private static let mostLabels = 128
    private static let longestName = 255
    /// The target of each is looked up, one after the other.
    private static let mostRecords = DiscoveryV2.mostMembers

    /// The service records in the answer, those with the least priority first, and of these the heaviest.
    public static func services(in bytes: [UInt8]) throws(Malformed) -> [ServiceRecord] {
        var reader = Reader(bytes: bytes)
        reader.position = 4
        let questions = try reader.number()
        let answers = try reader.number()
        reader.position = headerBytes
        for _ in 0..<questions {
            _ = try reader.name()
            try reader.skip(4)
        }
        var records: [ServiceRecord] = []
        for _ in 0..<answers {
            _ = try reader.name()
            let type = try reader.number()
            // The class and the time to live.
            try reader.skip(6)
            let length = try reader.number()
            let end = reader.position + length
            guard end <= bytes.count else { throw Malformed(description: "a record is longer than the answer") }
            if type == serviceType {
                let (priority, weight, port) = (try reader.number(), try reader.number(), try reader.number())
                let target = try reader.name()
                guard reader.position <= end else { throw Malformed(description: "a record is longer than it says") }
                guard isHost(target) else { throw Malformed(description: "a record's target is no host's name") }
                guard records.count < mostRecords else {
                    throw Malformed(description: "there are more than \(mostRecords) records")
                }
                records.append(ServiceRecord(priority: priority, weight: weight, port: port, target: target))
            }
            reader.position = end
        }
        return records.sorted { ($0.priority, -$0.weight, $0.target) < ($1.priority, -$1.weight, $1.target) }
    }

    /// Whether a name is made of what names of hosts are made of (RFC 1123, and underscores): it becomes part of URLs, and
    /// these of the text of an initial cluster. The empty one says that there is no such service (RFC 2782).
    private static func isHost(_ name: String) -> Bool {
        let taken = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.".utf8)
        return name.utf8.allSatisfy(taken.contains)
    }

    private struct Reader {
        let bytes: [UInt8]
        var position = 0

        mutating func number() throws(Malformed) -> Int {
            guard position + 2 <= bytes.count else { throw Malformed(description: "the answer ends early") }
            defer { position += 2 }
            return Int(bytes[position]) << 8 | Int(bytes[position + 1])
        }

        mutating func skip(_ count: Int) throws(Malformed) {
            guard position + count <= bytes.count else { throw Malformed(description: "the answer ends early") }
            position += count
        }

        /// A name, which may go on where another one stands.
        mutating func name() throws(Malformed) -> String {
            var labels: [String] = []
            var total = 0
            var place = position
            var isElsewhere = false
            var jumps = 0
            while true {
                guard place < bytes.count else { throw Malformed(description: "a name ends early") }
                let length = Int(bytes[place])
                if length == 0 {
                    if !isElsewhere { position = place + 1 }
                    return labels.joined(separator: ".")
                }
                if length & 0xc0 == 0xc0 {
                    guard place + 1 < bytes.count else { throw Malformed(description: "a name ends early") }
                    if !isElsewhere { position = place + 2 }
                    isElsewhere = true
                    jumps += 1
                    guard jumps <= DNSAnswer.mostLabels else {
                        throw Malformed(description: "a name leads in a circle")
                    }
                    place = (length & 0x3f) << 8 | Int(bytes[place + 1])
                    continue
                }
                total += length + 1
                guard length & 0xc0 == 0, place + 1 + length <= bytes.count, total <= DNSAnswer.longestName else {
                    throw Malformed(description: "a name is no name")
                }
                labels.append(String(decoding: bytes[place + 1..<place + 1 + length], as: UTF8.self))
                place += length + 1
            }
        }
    }
}

/// The members of a new cluster by the DNS: each record under `_etcd-server-ssl._tcp` and `_etcd-server._tcp` is one.
public enum ServiceDiscovery {
    /// A name to look up and the scheme of what is found there.
    public struct Query: Equatable, Sendable {
        public var name: String
        public var scheme: String
    }

    /// What is looked up for the servers in `domain`, whose service's name may have a suffix.
    public static func serverQueries(domain: String, suffix: String) -> [Query] {
        let ending = suffix.isEmpty ? "" : "-\(suffix)"
        return [
            Query(name: "_etcd-server-ssl\(ending)._tcp.\(domain)", scheme: "https"),
            Query(name: "_etcd-server\(ending)._tcp.\(domain)", scheme: "http"),
        ]
    }

    /// What was found for one query: each record with the addresses that its target and its port stand for.
    public struct Found: Equatable, Sendable {
        public var scheme: String
        public var records: [(record: ServiceRecord, address: String)]

        /// What `scheme` found.
        public init(scheme: String, records: [(record: ServiceRecord, address: String)]) {
            self.scheme = scheme
            self.records = records
        }

        public static func == (left: Found, right: Found) -> Bool {
            left.scheme == right.scheme
                && left.records.elementsEqual(right.records) { $0.record == $1.record && $0.address == $1.address }
        }
    }

    /// The initial cluster as `name=URL,…`: the records that lead to this member's own addresses have its name, the
    /// others are counted. `own` has the scheme under each `host:port` that this member's peer URLs stand for.
    ///
    /// - Returns: The text, and what was left out because it contradicts this member's URLs.
    public static func cluster(_ found: [Found], name: String, own: [String: String]) -> (text: String, notes: [String])
    {
        var parts: [String] = []
        var notes: [String] = []
        var number = 0
        for part in found {
            for (record, address) in part.records {
                let host = record.target.contains(":") ? "[\(record.target)]" : record.target
                let url = "\(part.scheme)://\(host):\(record.port)"
                let place = "\(address):\(record.port)"
                guard let scheme = own[place] else {
                    parts.append("\(number)=\(url)")
                    number += 1
                    continue
                }
                if scheme == part.scheme {
                    parts.append("\(name)=\(url)")
                } else {
                    notes.append("bootstrap at \(url) has scheme mismatch with expected peer \(scheme)://\(place)")
                }
            }
        }
        return (parts.joined(separator: ","), notes)
    }
}
