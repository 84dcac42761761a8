import Membership
import PeerTransport
import WireFormat

/// What other members ask the leader about leases.
extension PeerService {
    /// Renews the lease that `call` names.
    func renewLease(_ call: PeerCall) {
        if refuseAllBut(["POST"], call) { return }
        guard let lease = Self.renewedLease(call.request.body) else { return Self.refuseUnreadable(call) }
        member.perform { member in
            member.renew(lease) { outcome in
                switch outcome {
                case .renewed(let ttl):
                    // etcd leaves the header out.
                    var writer = WireWriter()
                    writer.int64(2, lease)
                    writer.int64(3, ttl)
                    Self.respond(call, writer.bytes)
                case .gone: call.respond(PeerResponse(status: 404, text: "lease not found\n"))
                case .notPrimary: call.respond(PeerResponse(status: 400, text: "not a primary lessor\n"))
                case .failed: Self.respondLate(call)
                }
            }
        }
    }

    /// Tells how much time the lease that `call` names has left.
    func leaseTimeToLive(_ call: PeerCall) {
        if refuseAllBut(["POST"], call) { return }
        guard let question = LeaseInternal.question(in: call.request.body) else { return Self.refuseUnreadable(call) }
        member.perform { member in
            member.timeToLive(of: question.lease, keys: question.keys) { answer in
                switch answer {
                case .success(let found?):
                    Self.respond(call, LeaseInternal.response(lease: question.lease, found))
                case .success(nil): call.respond(PeerResponse(status: 404, text: "lease not found\n"))
                case .failure(.notPrimary): call.respond(PeerResponse(status: 400, text: "not a primary lessor\n"))
                case .failure(.timedOut): Self.respondLate(call)
                }
            }
        }
    }

    private static func renewedLease(_ body: [UInt8]) -> Int64? {
        body.withUnsafeBytes { bytes in
            var id: Int64 = 0
            var reader = WireReader(bytes)
            do throws(WireError) {
                while let tag = try reader.next() {
                    if tag.field == 1 { id = try reader.int64(tag) } else { try reader.skip(tag) }
                }
            } catch {
                return nil
            }
            return id
        }
    }

    private static func respond(_ call: PeerCall, _ body: [UInt8]) {
        call.respond(PeerResponse(status: 200, headers: [("content-type", "application/protobuf")], body: body))
    }

    private static func refuseUnreadable(_ call: PeerCall) {
        call.respond(PeerResponse(status: 400, text: "error unmarshalling request\n"))
    }

    private static func respondLate(_ call: PeerCall) {
        call.respond(
            PeerResponse(status: 408, text: "waiting for node to catch up its applied index has timed out\n"))
    }
}
