/// Paths of keys: bytes, with `/` between the names.
public enum KeyPath {
    static let slash = UInt8(ascii: "/")

    /// The shortest path that means the same, beginning with `/`: without empty names, `.` and `..`.
    public static func clean(_ path: [UInt8]) -> [UInt8] {
        self.path(names(path)[...])
    }

    /// The names that the path consists of, from the root on.
    public static func names(_ path: [UInt8]) -> [ArraySlice<UInt8>] {
        var names: [ArraySlice<UInt8>] = []
        for name in path.split(separator: slash) {
            if name.elementsEqual(".".utf8) { continue }
            if name.elementsEqual("..".utf8) {
                _ = names.popLast()
            } else {
                names.append(name)
            }
        }
        return names
    }

    /// The path that consists of `names`.
    static func path(_ names: ArraySlice<ArraySlice<UInt8>>) -> [UInt8] {
        var path: [UInt8] = []
        path.reserveCapacity(names.reduce(0) { $0 + $1.count + 1 })
        for name in names {
            path.append(slash)
            path += name
        }
        return path.isEmpty ? [slash] : path
    }

    /// Whether `path` is `directory` or lies below it. Both are clean.
    static func isInside(_ path: [UInt8], _ directory: [UInt8]) -> Bool {
        guard path.starts(with: directory) else { return false }
        return path.count == directory.count || directory == [slash] || path[directory.count] == slash
    }

    /// Whether a watcher at `watched` does not see changes of `key` because of a hidden name, one that begins with `_`,
    /// on the way from one to the other. Both are clean.
    static func isHidden(_ key: [UInt8], from watched: [UInt8]) -> Bool {
        // The end of a directory is told to watchers below it too.
        guard watched.count <= key.count else { return false }
        let rest = key[watched.count...]
        return rest.split(separator: slash).contains { $0.first == UInt8(ascii: "_") }
    }
}
