import Glibc

/// A thread of the member's own, named for tools that list threads.
final class ServiceThread: @unchecked Sendable {
    private var handle = pthread_t()

    private final class Start {
        let name: String
        let body: () -> Void

        init(name: String, body: @escaping () -> Void) {
            self.name = name
            self.body = body
        }
    }

    /// Runs `body` on a new thread, which someone ``join()``s.
    init(_ name: String, _ body: @escaping @Sendable () -> Void) {
        let result = Self.create(&handle, name, body)
        precondition(result == 0, "the system gives no thread for \(name): \(String(cString: strerror(result)))")
    }

    /// Runs `body` on a new thread that nobody waits for; false when the system gives none.
    static func detach(_ name: String, _ body: @escaping @Sendable () -> Void) -> Bool {
        var handle = pthread_t()
        guard create(&handle, name, body) == 0 else { return false }
        pthread_detach(handle)
        return true
    }

    private static func create(
        _ handle: inout pthread_t, _ name: String, _ body: @escaping @Sendable () -> Void
    ) -> Int32 {
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
        if result != 0 { start.release() }
        return result
    }

    /// Waits for the end of the body.
    func join() {
        pthread_join(handle, nil)
    }
}

/// Names the calling thread; the system cuts names after fifteen bytes.
private func setName(_ name: String) {
    guard let file = fopen("/proc/thread-self/comm", "w") else { return }
    fputs(name, file)
    fclose(file)
}
