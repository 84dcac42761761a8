import AuditLog
import EtcdAPI
import GRPC
import NIOCore
import StoreV2

/// What the audit log hears of requests over plain HTTP that become no call of a method: those of version 2, changes of the
/// log's level, and those that are refused before anybody looks at them.
extension AuditTrail {
    /// Has `call` noted when it is answered. On its event loop, before that.
    func follow(_ call: HTTPCall, isWatch: Bool = false) {
        let start = NIODeadline.now()
        call.onAnswer { [self, unowned call] status in
            let request = call.request
            let (method, key) = Self.subject(of: request, isWatch: isWatch)
            note(
                AuditEvent(
                    time: Clock.unixMilliseconds, method: method, key: key, peer: request.peer,
                    certificate: request.peerIdentity, status: status,
                    microseconds: (NIODeadline.now() - start).nanoseconds / 1000))
        }
    }

    /// What is told of a request: the method with a path in which no key is, and what is done to which key.
    private static func subject(
        of request: HTTPRequest, isWatch: Bool
    ) -> (method: String, key: (operation: String, key: [UInt8])?) {
        guard let path = try? Form.unescaped(request.escapedPath.utf8) else { return ("\(request.method) ?", nil) }
        let clean = KeyPath.clean(path)
        guard let key = StoreV2Service.rest(of: clean, behind: StoreV2Service.keysPath) else {
            return ("\(request.method) \(String(decoding: clean, as: UTF8.self))", nil)
        }
        let operation =
            switch request.method {
            case "GET", "HEAD": isWatch ? "watch" : "range"
            case "DELETE": "delete"
            default: "put"
            }
        return (
            "\(request.method) \(StoreV2Service.keysPath)", (operation, key.isEmpty ? [UInt8(ascii: "/")] : key)
        )
    }
}
