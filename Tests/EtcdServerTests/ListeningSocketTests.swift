import Configuration
import Glibc
import Membership
import Testing

@testable import EtcdServer

/// Sockets that listen, and what the flags say of them.
@Suite struct ListeningSocketTests {
    private func configuration(_ arguments: String...) throws -> MemberConfiguration {
        guard case .run(let configuration) = try MemberConfiguration.parse(arguments: arguments, environment: [:])
        else { throw InvalidConfiguration("no run") }
        return configuration
    }

    private func option(_ name: CInt, of descriptor: CInt) -> Bool {
        var value: CInt = 0
        var size = socklen_t(MemoryLayout<CInt>.size)
        getsockopt(descriptor, SOL_SOCKET, name, &value, &size)
        return value != 0
    }

    /// A port in TIME_WAIT may be bound again with and without `--socket-reuse-address`, as Go sets SO_REUSEADDR on every
    /// listener; one that is listened at is shared only if it is asked for.
    @Test(arguments: [
        ("--socket-reuse-address=false", true, false), ("--socket-reuse-address", true, false),
        ("--socket-reuse-port", true, true),
    ])
    func optionsOfListeners(flag: String, reusesAddress: Bool, reusesPort: Bool) throws {
        let url = try ServiceURL(parsing: "http://127.0.0.1:0")
        let descriptor = try ListeningSocket(url, try configuration(flag).sockets).take()
        defer { close(descriptor) }
        #expect(option(SO_REUSEADDR, of: descriptor) == reusesAddress)
        #expect(option(SO_REUSEPORT, of: descriptor) == reusesPort)
    }

    /// Other members connect while this one starts, and what they are sent must not wait for what they acknowledge.
    @Test func connectionsThatComeEarlySendAtOnce() throws {
        let url = try ServiceURL(parsing: "http://127.0.0.1:0")
        let listener = try ListeningSocket(url, try configuration().sockets).take()
        let client = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let accepted = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                getsockname(listener, address, &length) == 0 && connect(client, address, length) == 0
                    ? accept(listener, nil, nil) : -1
            }
        }
        defer { for descriptor in [listener, client, accepted] { close(descriptor) } }
        var value: CInt = 0
        var size = socklen_t(MemoryLayout<CInt>.size)
        #expect(getsockopt(accepted, Int32(IPPROTO_TCP), TCP_NODELAY, &value, &size) == 0)
        #expect(value != 0)
    }
}
