import EtcdAPI
import Glibc

extension Metrics {
    /// What the system knows of this process, under the names that every Prometheus client uses.
    enum Process {
        static func write(to text: inout String) {
            func add(_ name: String, _ help: String, _ kind: String, _ value: some CustomStringConvertible) {
                text += "# HELP \(name) \(help)\n# TYPE \(name) \(kind)\n\(name) \(value)\n"
            }
            var usage = rusage()
            getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
            let seconds =
                Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
                + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6
            add("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", "counter", seconds)
            let pages = statm()
            let pageBytes = Int(sysconf(Int32(_SC_PAGESIZE)))
            add("process_virtual_memory_bytes", "Virtual memory size in bytes.", "gauge", pages.virtual * pageBytes)
            add("process_resident_memory_bytes", "Resident memory size in bytes.", "gauge", pages.resident * pageBytes)
            var limit = rlimit()
            getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            add("process_max_fds", "Maximum number of open file descriptors.", "gauge", limit.rlim_cur)
            add("process_open_fds", "Number of open file descriptors.", "gauge", openDescriptors())
        }

        private static func statm() -> (virtual: Int, resident: Int) {
            guard let file = fopen("/proc/self/statm", "r") else { return (0, 0) }
            defer { fclose(file) }
            var line = [CChar](repeating: 0, count: 256)
            guard fgets(&line, Int32(line.count), file) != nil else { return (0, 0) }
            let numbers = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
                .split(separator: " ").compactMap { Int($0) }
            return numbers.count > 1 ? (numbers[0], numbers[1]) : (0, 0)
        }

        private static func openDescriptors() -> Int {
            guard let directory = opendir("/proc/self/fd") else { return 0 }
            defer { closedir(directory) }
            var count = 0
            while readdir(directory) != nil { count += 1 }
            // The two dots and the descriptor that this listing holds are not the process's own.
            return max(0, count - 3)
        }
    }
}

/// The kinds of methods as gRPC's metrics name them.
enum EtcdMethodKind {
    static func label(path: String) -> String {
        switch EtcdMethod(path: path)?.kind {
        case .serverStream: "server_stream"
        case .clientStream: "client_stream"
        case .bidirectional: "bidi_stream"
        default: "unary"
        }
    }
}
