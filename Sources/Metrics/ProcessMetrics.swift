import Glibc

/// What the system knows of this process, under the names that every Prometheus client uses, and etcd's own two.
public final class ProcessMetrics: Sendable {
    init(_ registry: Registry) {
        registry.observed("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", .counter) {
            Self.cpuSeconds
        }
        let pageBytes = Double(sysconf(Int32(_SC_PAGESIZE)))
        registry.observed("process_virtual_memory_bytes", "Virtual memory size in bytes.") {
            Self.pages(0).map { $0 * pageBytes }
        }
        registry.observed("process_resident_memory_bytes", "Resident memory size in bytes.") {
            Self.pages(1).map { $0 * pageBytes }
        }
        registry.observed(
            "process_virtual_memory_max_bytes", "Maximum amount of virtual memory available in bytes."
        ) { Self.limit(RLIMIT_AS).map(Double.init) }
        let start = Self.startTime
        registry.observed(
            "process_start_time_seconds", "Start time of the process since unix epoch in seconds."
        ) { start }
        registry.observed(
            "process_network_receive_bytes_total", "Number of bytes received by the process over the network.",
            .counter
        ) { Self.networkBytes("InOctets") }
        registry.observed(
            "process_network_transmit_bytes_total", "Number of bytes sent by the process over the network.", .counter
        ) { Self.networkBytes("OutOctets") }
        let descriptors: @Sendable () -> Double? = { Self.openDescriptors.map(Double.init) }
        let descriptorLimit: @Sendable () -> Double? = { Self.limit(RLIMIT_NOFILE).map(Double.init) }
        registry.observed("process_open_fds", "Number of open file descriptors.", .gauge, descriptors)
        registry.observed("process_max_fds", "Maximum number of open file descriptors.", .gauge, descriptorLimit)
        registry.observed("os_fd_used", "The number of used file descriptors.", .gauge, descriptors)
        registry.observed("os_fd_limit", "The file descriptor limit.", .gauge, descriptorLimit)
    }

    /// Bytes that the process's network namespace has received or sent by IP, as Go's client has it.
    private static func networkBytes(_ field: String) -> Double? {
        guard let file = fopen("/proc/self/net/netstat", "r") else { return nil }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 8192)
        var names: [Substring] = []
        while fgets(&line, Int32(line.count), file) != nil {
            let words = text(line).split(separator: " ")
            guard words.first == "IpExt:" else { continue }
            if names.isEmpty {
                names = words
            } else if let place = names.firstIndex(of: Substring(field)), place < words.count {
                return Double(words[place])
            }
        }
        return nil
    }

    private static var cpuSeconds: Double {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        return Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
            + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6
    }

    /// The process's memory in bytes: what it has addresses for, and what is in RAM; nil when the system does not say.
    public static var memory: (virtual: Int, resident: Int)? {
        guard let virtual = pages(0), let resident = pages(1) else { return nil }
        let pageBytes = sysconf(Int32(_SC_PAGESIZE))
        return (Int(virtual) * pageBytes, Int(resident) * pageBytes)
    }

    /// A number of `/proc/self/statm`, in pages.
    private static func pages(_ field: Int) -> Double? {
        let fields = firstLine("/proc/self/statm").split(separator: " ")
        return fields.count > field ? Double(fields[field]) : nil
    }

    private static func limit(_ resource: __rlimit_resource) -> rlim_t? {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(resource.rawValue), &limit) == 0 else { return nil }
        return limit.rlim_cur
    }

    /// The system's start in Unix time plus the process's start after it.
    private static var startTime: Double? {
        // The program's name, the second field, may hold spaces; it ends with the last parenthesis. The start is the 22nd.
        let fields = firstLine("/proc/self/stat").split(separator: ")").last?.split(separator: " ") ?? []
        guard fields.count > 19, let ticks = Double(fields[19]) else { return nil }
        guard let file = fopen("/proc/stat", "r") else { return nil }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 4096)
        while fgets(&line, Int32(line.count), file) != nil {
            let words = text(line).split(separator: " ")
            if words.first == "btime", words.count > 1, let boot = Double(words[1]) {
                return boot + ticks / Double(sysconf(Int32(_SC_CLK_TCK)))
            }
        }
        return nil
    }

    private static func firstLine(_ path: String) -> String {
        guard let file = fopen(path, "r") else { return "" }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 4096)
        guard fgets(&line, Int32(line.count), file) != nil else { return "" }
        return text(line)
    }

    private static func text(_ line: [CChar]) -> String {
        let bytes = line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        return String(decoding: bytes.last == 0x0a ? bytes.dropLast() : bytes[...], as: UTF8.self)
    }

    private static var openDescriptors: Int? {
        guard let directory = opendir("/proc/self/fd") else { return nil }
        defer { closedir(directory) }
        var count = 0
        while readdir(directory) != nil { count += 1 }
        // The two dots and the descriptor that this listing holds are not the process's own.
        return max(0, count - 3)
    }
}
