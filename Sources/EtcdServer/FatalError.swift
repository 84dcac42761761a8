import Glibc
import Logging

/// The end of a member that cannot go on: it says why and leaves, so that nothing is answered from a state that the disk
/// does not have.
enum FatalError {
    static func stop(_ logger: Logger, _ what: String, _ error: any Error) -> Never {
        logger.critical("\(what)", metadata: ["error": .string("\(error)")])
        // Without the handlers that run at an ordinary exit: other threads still use what those would take down.
        _exit(1)
    }
}
