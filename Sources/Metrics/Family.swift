import Synchronization

/// The series of one metric that differ by the values of their labels.
///
/// A look-up takes a lock and a dictionary: whoever counts often keeps the series. How many series there are is bounded,
/// so that nobody outside can fill the memory with label values: beyond the bound everything is counted under `other`.
public final class Family<Child: AnyObject & Sendable>: Sendable {
    /// More series than any label of etcd's has in a cluster that etcd recommends.
    public static var usualLimit: Int { 256 }

    private let names: [String]
    private let limit: Int
    private let make: @Sendable () -> Child
    private let children = Mutex<[[String]: Child]>([:])

    init(_ names: [String], limit: Int, make: @escaping @Sendable () -> Child) {
        self.names = names
        self.limit = limit
        self.make = make
    }

    /// The series with these values, in the order of the names; it is there from the first look on.
    public subscript(_ values: String...) -> Child {
        precondition(values.count == names.count, "a series has another number of labels than its metric")
        return children.withLock { children in
            if let child = children[values] { return child }
            let key = children.count < limit ? values : names.map { _ in "other" }
            if let child = children[key] { return child }
            let child = make()
            children[key] = child
            return child
        }
    }

    /// Forgets the series with these values, such as those of a member that was removed.
    public func remove(_ values: String...) {
        children.withLock { $0[values] = nil }
    }

    /// The series with their labels as text, in the order of the text.
    var series: [(labels: String, child: Child)] {
        children.withLock { Array($0) }
            .map { (Labels.text(zip(names, $0.key)), $0.value) }
            .sorted { $0.labels < $1.labels }
    }
}

enum Labels {
    /// The labels as they stand between the braces of a series.
    static func text(_ labels: some Sequence<(String, String)>) -> String {
        labels.sorted { $0.0 < $1.0 }.map { "\($0.0)=\"\(escape($0.1))\"" }.joined(separator: ",")
    }

    private static func escape(_ value: String) -> String {
        if !value.utf8.contains(where: { $0 == 0x5c || $0 == 0x22 || $0 == 0x0a }) { return value }
        var text = ""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\\": text += "\\\\"
            case "\"": text += "\\\""
            case "\n": text += "\\n"
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text
    }
}
