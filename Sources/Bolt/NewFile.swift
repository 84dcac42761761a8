import Disk

/// The first content of a database file: two meta pages, an empty free list in page 2 and an empty root leaf in page 3.
enum NewFile {
    private static let freeListPage: UInt64 = 2
    private static let rootPage: UInt64 = 3
    private static let pageCount: UInt64 = 4

    /// Writes the first content when `file` is empty or holds what a crash left of an earlier attempt.
    static func create(_ file: any DiskFile, disk: any Disk, pageSize: Int) throws(BoltError) {
        let image = image(pageSize: pageSize)
        guard try isUnfinished(file, image) else { return }
        try onDisk { () throws(DiskError) in
            try file.write(image, at: 0)
            try file.synchronize()
            if let slash = file.path.lastIndex(of: "/") {
                try disk.synchronizeDirectory(slash == file.path.startIndex ? "/" : String(file.path[..<slash]))
            } else {
                try disk.synchronizeDirectory(".")
            }
        }
    }

    /// Whether the file cannot have held a commit yet: every byte is zero or the one that creation writes, and no meta
    /// page is whole. A first commit lengthens the file, so this never discards data.
    private static func isUnfinished(_ file: any DiskFile, _ image: [UInt8]) throws(BoltError) -> Bool {
        let size = try onDisk { () throws(DiskError) in try file.size() }
        guard size <= image.count else { return false }
        let content = try onDisk { () throws(DiskError) in try file.read(at: 0, count: size) }
        for (index, byte) in content.enumerated() where byte != 0 && byte != image[index] { return false }
        return content != image
    }

    private static func image(pageSize: Int) -> [UInt8] {
        let first = Meta(
            pageSize: pageSize, root: rootPage, sequence: 0, freeList: freeListPage, pageCount: pageCount,
            transaction: 0)
        var second = first
        second.transaction = 1
        var image = first.page(slot: 0) + second.page(slot: 1)
        image += [UInt8](repeating: 0, count: 2 * pageSize)
        image.withUnsafeMutableBytes { bytes in
            guard let start = bytes.baseAddress else { return }
            let freeList = start + Int(freeListPage) * pageSize
            freeList.storePageHeader(id: freeListPage, flags: Format.freeListFlag, count: 0, overflow: 0)
            let root = start + Int(rootPage) * pageSize
            root.storePageHeader(id: rootPage, flags: Format.leafFlag, count: 0, overflow: 0)
        }
        return image
    }
}
