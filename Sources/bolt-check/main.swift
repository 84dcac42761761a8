import Bolt
import Disk
import Glibc

/// Checks a Bolt file: prints what is wrong and exits with 1, or with 0 when nothing is.
func checkFile() -> Int32 {
    var path: String?
    var dumps = false
    for argument in CommandLine.arguments.dropFirst() {
        if argument == "--dump" {
            dumps = true
        } else if path == nil && !argument.hasPrefix("-") {
            path = argument
        } else {
            return usage()
        }
    }
    guard let path else { return usage() }
    do {
        let database = try Database(disk: POSIXDisk(), path: path, options: DatabaseOptions(readOnly: true)) {
            printError("bolt-check: \(path) is in use; waiting for its lock")
        }
        defer { database.close() }
        let transaction = try database.beginRead()
        if dumps { Check.dump(transaction) { print($0) } }
        let findings = Check.findings(in: transaction)
        for finding in findings { print(finding) }
        if findings.count == Check.findingLimit { print("there may be more than these \(findings.count)") }
        return findings.isEmpty ? 0 : 1
    } catch {
        printError("bolt-check: \(error)")
        return 1
    }
}

func usage() -> Int32 {
    printError("usage: bolt-check FILE [--dump]")
    return 1
}

func printError(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    _ = write(STDERR_FILENO, bytes, bytes.count)
}

exit(checkFile())
