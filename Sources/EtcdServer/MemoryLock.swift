import Glibc
import Logging
import Member

/// `--memory-mlock`: the pages that the process uses stay out of swap.
enum MemoryLock {
    /// RLIMIT_MEMLOCK and MCL_ONFAULT, which Glibc's module does not show. The latter leaves alone what is only reserved.
    private static let lockedMemory: __rlimit_resource_t = 8
    private static let onFault: Int32 = 4

    /// Locks what the process uses now and later.
    static func take(_ logger: Logger) throws(StartError) {
        var limit = rlimit(rlim_cur: .max, rlim_max: .max)
        // Only root may; whoever has the limit from outside needs it not.
        setrlimit(lockedMemory, &limit)
        guard getrlimit(lockedMemory, &limit) == 0, limit.rlim_cur == .max else {
            throw StartError("--memory-mlock needs an unlimited RLIMIT_MEMLOCK (LimitMEMLOCK=infinity)")
        }
        guard mlockall(Int32(MCL_CURRENT) | Int32(MCL_FUTURE) | onFault) == 0 else {
            throw StartError("--memory-mlock: mlockall: \(String(cString: strerror(errno)).lowercased())")
        }
        logger.info("the process's memory is kept out of swap")
    }
}
