import Disk
import Glibc

/// A folder that is removed, with what is in it, when the last reference goes.
final class TemporaryFolder {
    let path: String

    init() throws {
        var template = Array("/tmp/bolt-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw POSIXFailure(code: errno) }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { try? POSIXDisk().remove(path) }
}

struct POSIXFailure: Error {
    var code: Int32
}
