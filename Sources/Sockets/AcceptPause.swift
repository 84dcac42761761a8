import Glibc
import NIOCore
import NIOPosix

extension ServerBootstrap {
    /// Has the listener wait a moment before it accepts again when the process, or the system, can have no more sockets.
    ///
    /// The connection that could not be accepted stays in the system's queue, which tells of it again at once: without a
    /// pause the event loop would do nothing else, until somebody closes a file.
    public func pausingWhenExhausted() -> ServerBootstrap {
        serverChannelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.addHandler(
                    AcceptBackoffHandler(backoffProvider: AcceptPause.length(after:)))
            }
        }
    }
}

/// How long a listener waits after an error.
enum AcceptPause {
    /// Go's listeners wait between 5 milliseconds and a second.
    static let length = TimeAmount.milliseconds(100)

    /// Nil when the next connection may be accepted at once: the error is the one connection's own.
    static func length(after error: IOError) -> TimeAmount? {
        switch error.errnoCode {
        case EMFILE, ENFILE, ENOBUFS, ENOMEM: length
        default: nil
        }
    }
}
