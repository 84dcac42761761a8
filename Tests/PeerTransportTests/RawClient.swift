import Glibc

/// A blocking client that sends what no decent one would.
final class RawClient {
    private var descriptor: CInt
    private var pending: [UInt8] = []

    init(port: Int) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else { throw Log.Timeout(description: "cannot connect to port \(port): errno \(errno)") }
        limitWaiting()
    }

    /// Whether a connection to `listener` waits to be accepted.
    static func isAsked(_ listener: CInt) -> Bool {
        var question = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
        return poll(&question, 1, 0) > 0
    }

    /// The next connection that is made to `listener`.
    init(accepting listener: CInt) {
        var limit = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        descriptor = accept(listener, nil, nil)
        limitWaiting()
    }

    /// A read that takes this long fails its test.
    private func limitWaiting() {
        var limit = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close() }

    func close() {
        if descriptor >= 0 { Glibc.close(descriptor) }
        descriptor = -1
    }

    /// Writes all of `bytes`, or stops when the other side has closed.
    func write(_ bytes: [UInt8]) {
        var done = 0
        while done < bytes.count {
            let count = bytes[done...].withUnsafeBytes {
                send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if count <= 0 { return }
            done += count
        }
    }

    /// Whether the other side has closed, as far as this one can tell.
    var isClosedByPeer: Bool {
        var byte: UInt8 = 0
        return recv(descriptor, &byte, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT)) == 0
    }

    /// The address that the other side connected from.
    var peerAddress: String {
        var address = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { _ = getpeername(descriptor, $0, &length) }
        }
        return String(cString: inet_ntoa(address.sin_addr))
    }

    func write(_ text: String) { write(Array(text.utf8)) }

    /// Reads until `isEnough`; nil when the connection ended before.
    func read(until isEnough: ([UInt8]) -> Bool) -> [UInt8]? {
        while !isEnough(pending) {
            var buffer = [UInt8](repeating: 0, count: 65536)
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count <= 0 { return nil }
            pending += buffer[..<count]
        }
        return pending
    }

    /// Forgets the first `count` bytes that were read.
    func drop(_ count: Int) { pending.removeFirst(count) }

    /// Reads one response with a length, or without a body.
    func readResponse() throws -> (status: Int, text: String) {
        func end(_ bytes: [UInt8]) -> Int? {
            guard bytes.count > 3 else { return nil }
            for index in 3..<bytes.count where Array(bytes[index - 3...index]) == [13, 10, 13, 10] { return index + 1 }
            return nil
        }
        guard let first = read(until: { end($0) != nil }), let start = end(first) else {
            throw Log.Timeout(description: "no response: \(String(decoding: pending, as: UTF8.self))")
        }
        let head = String(decoding: first[..<start], as: UTF8.self)
        let status = head.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
        var length = 0
        for line in head.split(separator: "\r\n") where line.lowercased().hasPrefix("content-length:") {
            length = Int(line.split(separator: ":")[1].drop { $0 == " " }) ?? 0
        }
        guard let all = read(until: { $0.count >= start + length }) else {
            throw Log.Timeout(description: "the response's body is cut")
        }
        let text = head + String(decoding: all[start..<start + length], as: UTF8.self)
        drop(start + length)
        return (status, text)
    }
}
