/// The members that a new cluster starts with, as `--initial-cluster` lists them.
public struct InitialCluster: Equatable, Sendable {
    /// What is wrong with the description, in words for the person who wrote it.
    public struct Invalid: Error, Equatable, CustomStringConvertible {
        public var description: String
    }

    /// The peer URLs of each name, in ascending order of the names.
    public private(set) var peerURLs: [(name: String, urls: [String])]

    public static func == (left: InitialCluster, right: InitialCluster) -> Bool {
        left.peerURLs.elementsEqual(right.peerURLs) { $0.name == $1.name && $0.urls == $1.urls }
    }

    /// Reads `name=URL,name=URL…`; a name may stand several times, once for each of its URLs.
    public init(parsing text: String) throws(Invalid) {
        var urls: [String: [String]] = [:]
        for part in text.split(separator: ",") {
            let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            // A member that has not started has no name, and etcdctl lists it so to the next one that joins.
            guard pair.count == 2, !pair[1].isEmpty else {
                throw Invalid(description: "\"\(part)\" in the initial cluster is not name=URL")
            }
            do throws(ServiceURL.Invalid) {
                urls[String(pair[0]), default: []].append(try ServiceURL(parsing: String(pair[1])).text)
            } catch {
                throw Invalid(description: error.description)
            }
        }
        guard !urls.isEmpty else { throw Invalid(description: "the initial cluster names no member") }
        peerURLs = urls.map { (name: $0.key, urls: $0.value.sorted()) }.sorted { $0.name < $1.name }
        var seen: [String: String] = [:]
        for (name, list) in peerURLs {
            for url in list {
                if let other = seen.updateValue(name, forKey: url) {
                    throw Invalid(
                        description: "members \(other) and \(name) of the initial cluster share the peer URL \(url)")
                }
            }
        }
    }

    /// The description in the form of the flag.
    public var text: String {
        peerURLs.flatMap { member in member.urls.map { "\(member.name)=\($0)" } }.joined(separator: ",")
    }

    /// The peer URLs of all members but `name`, in ascending order: whom that one asks about the cluster.
    public func peerURLs(except name: String) -> [String] {
        peerURLs.filter { $0.name != name }.flatMap(\.urls).sorted()
    }

    /// The members with the ids that follow from `token`.
    public func members(token: String) -> [Member] {
        peerURLs.map { Member(id: Identity.member(peerURLs: $0.urls, token: token), name: $0.name, peerURLs: $0.urls) }
    }
}
