import Glibc

/// A thread of the member's own, named for tools that list threads.
public final class ServiceThread: @unchecked Sendable {
    private var handle = pthread_t()

    private final class Start {
        let name: String
        let body: () -> Void

        init(name: String, body: @escaping () -> Void) {
            self.name = name
            self.body = body
        }
    }

    /// Runs `body` on a new thread.
    @discardableResult
    public init(_ name: String, _ body: @escaping @Sendable () -> Void) {
        let start = Unmanaged.passRetained(Start(name: name, body: body))
        let result = pthread_create(
            &handle, nil,
            { argument in
                guard let argument else { return nil }
                let start = Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
                setName(start.name)
                start.body()
                return nil
            }, start.toOpaque())
        precondition(result == 0, "the system gives no thread for \(name): \(String(cString: strerror(result)))")
    }

    /// Waits for the end of the body.
    public func join() {
        pthread_join(handle, nil)
    }
}

/// Names the calling thread; the system cuts names after fifteen bytes.
private func setName(_ name: String) {
    guard let file = fopen("/proc/thread-self/comm", "w") else { return }
    fputs(name, file)
    fclose(file)
}
