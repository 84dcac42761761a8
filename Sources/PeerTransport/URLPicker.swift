import Membership

/// A member's URLs, of which the one that works is kept.
final class URLPicker {
    private(set) var urls: [ServiceURL]
    private var position = 0

    init(_ texts: [String]) {
        urls = Self.parse(texts)
    }

    func update(_ texts: [String]) {
        let new = Self.parse(texts)
        guard new != urls else { return }
        urls = new
        position = 0
    }

    private static func parse(_ texts: [String]) -> [ServiceURL] {
        texts.compactMap { try? ServiceURL(parsing: $0) }
    }

    /// The URL to use now; nil when there is none.
    func pick() -> ServiceURL? { urls.isEmpty ? nil : urls[position % urls.count] }

    /// `url` did not work: the next one is picked.
    func unreachable(_ url: ServiceURL) {
        if pick() == url { position = (position + 1) % urls.count }
    }
}
