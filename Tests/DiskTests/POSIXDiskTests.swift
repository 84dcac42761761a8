import Disk
import Glibc
import Testing

/// A new folder under the system's temporary one, removed when the value's last reference goes.
private final class Scratch {
    let path: String

    init() {
        var template = Array("/tmp/disk-tests-XXXXXX".utf8CString)
        path = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
    }

    deinit { try? POSIXDisk().remove(path) }
}

@Suite struct POSIXDiskTests {
    private let scratch = Scratch()
    private let disk = POSIXDisk()

    @Test func writesAreReadBackAndLengthenTheFile() throws {
        let file = try disk.open("\(scratch.path)/a", .create)
        try file.write([1, 2, 3], at: 5)
        try file.synchronize()
        #expect(try file.size() == 8)
        #expect(try file.read(at: 4, count: 10) == [0, 1, 2, 3])
        try file.truncate(to: 6)
        #expect(try file.read(at: 0, count: 10) == [0, 0, 0, 0, 0, 1])
        try file.allocate(100)
        #expect(try file.size() == 100)
    }

    @Test func aMappingShowsLaterWritesAndOutlivesItsFile() throws {
        let file = try disk.open("\(scratch.path)/a", .create)
        try file.truncate(to: 4096)
        let mapping = try file.map(length: 1 << 20)
        try file.write([9], at: 100)
        file.close()
        #expect(mapping.bytes[100] == 9)
    }

    @Test func theSecondOpeningOfALockedFileIsRefused() throws {
        let first = try disk.open("\(scratch.path)/a", .create)
        let second = try disk.open("\(scratch.path)/a", .write)
        #expect(try first.lock(wait: false))
        #expect(try !second.lock(wait: false))
        try first.truncate(to: 4096)
        let mapping = try first.map(length: 4096)
        first.close()
        // The mapping that is still there must not keep the lock.
        #expect(try second.lock(wait: false))
        #expect(mapping.bytes.count == 4096)
    }

    @Test func errorsNameTheFileAndTheReason() throws {
        #expect {
            try disk.open("\(scratch.path)/absent", .write)
        } throws: { error in
            "\(error)" == "open \(scratch.path)/absent: No such file or directory"
        }
        let readOnly = try {
            _ = try disk.open("\(scratch.path)/a", .create); return try disk.open("\(scratch.path)/a", .read)
        }()
        #expect(throws: DiskError.self) { try readOnly.write([1], at: 0) }
    }

    @Test func namesAreListedRenamedAndRemoved() throws {
        try disk.createDirectory("\(scratch.path)/x/y/z")
        try disk.createDirectory("\(scratch.path)/x/y/z")
        for name in ["b", "a"] { _ = try disk.open("\(scratch.path)/x/y/\(name)", .create) }
        #expect(try disk.list("\(scratch.path)/x/y") == ["a", "b", "z"])
        try disk.rename("\(scratch.path)/x/y/a", to: "\(scratch.path)/x/y/c")
        try disk.synchronizeDirectory("\(scratch.path)/x/y")
        #expect(try disk.list("\(scratch.path)/x/y") == ["b", "c", "z"])
        try disk.remove("\(scratch.path)/x")
        #expect(!disk.exists("\(scratch.path)/x"))
        _ = try disk.open("\(scratch.path)/file", .create)
        #expect(throws: DiskError.self) { try disk.createDirectory("\(scratch.path)/file") }
    }
}
