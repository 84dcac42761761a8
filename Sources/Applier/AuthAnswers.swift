import Auth
import EtcdAPI
import FoundationEssentials
import SwiftProtobuf
import WireFormat

/// The encoded answers to questions about users and roles, which a member gives when it applies an entry or has caught up
/// with all that was committed.
public enum AuthAnswers {
    /// What every change is answered with: a header alone.
    public static func done(_ header: ResponseHeader) throws(EtcdError) -> [UInt8] {
        var writer = WireWriter()
        KeyValueResponse.encodeHeaderOnly(header, into: &writer)
        return writer.bytes
    }

    /// The answer to a login.
    public static func token(_ token: String, _ header: ResponseHeader) throws(EtcdError) -> [UInt8] {
        var response = Etcdserverpb_AuthenticateResponse()
        response.header = Etcdserverpb_ResponseHeader(header)
        response.token = token
        return try encode(response)
    }

    /// Whether auth is enabled, and its revision.
    public static func status(_ state: AuthState, _ header: ResponseHeader) throws(EtcdError) -> [UInt8] {
        var response = Etcdserverpb_AuthStatusResponse()
        response.header = Etcdserverpb_ResponseHeader(header)
        response.enabled = state.isEnabled
        response.authRevision = state.revision
        return try encode(response)
    }

    /// The roles of a user.
    public static func user(
        _ name: String, _ state: AuthState, _ header: ResponseHeader
    ) throws(EtcdError) -> [UInt8] {
        guard let user = state.user(name) else { throw .userNotFound }
        var response = Etcdserverpb_AuthUserGetResponse()
        response.header = Etcdserverpb_ResponseHeader(header)
        response.roles = user.roles.map { String(decoding: $0, as: UTF8.self) }
        return try encode(response)
    }

    /// The names of all users.
    public static func users(_ state: AuthState, _ header: ResponseHeader) throws(EtcdError) -> [UInt8] {
        var response = Etcdserverpb_AuthUserListResponse()
        response.header = Etcdserverpb_ResponseHeader(header)
        response.users = state.userNames.map { String(decoding: $0, as: UTF8.self) }
        return try encode(response)
    }

    /// The permissions of a role; the role root has all, whatever is stored.
    public static func role(
        _ name: String, _ state: AuthState, _ header: ResponseHeader
    ) throws(EtcdError) -> [UInt8] {
        guard let role = state.role(name) else { throw .roleNotFound }
        let everything = [Permission(.readWrite, key: [], rangeEnd: Permission.openEnd)]
        var response = Etcdserverpb_AuthRoleGetResponse()
        response.header = Etcdserverpb_ResponseHeader(header)
        response.perm = (role.name == Role.root ? everything : role.permissions).map { permission in
            var message = Authpb_Permission()
            message.permType = Authpb_Permission.TypeEnum(rawValue: Int(permission.kind.rawValue)) ?? .read
            message.key = Data(permission.key)
            message.rangeEnd = Data(permission.rangeEnd)
            return message
        }
        return try encode(response)
    }

    /// The names of all roles.
    public static func roles(_ state: AuthState, _ header: ResponseHeader) throws(EtcdError) -> [UInt8] {
        var response = Etcdserverpb_AuthRoleListResponse()
        response.header = Etcdserverpb_ResponseHeader(header)
        response.roles = state.roleNames.map { String(decoding: $0, as: UTF8.self) }
        return try encode(response)
    }

    private static func encode(_ response: some SwiftProtobuf.Message) throws(EtcdError) -> [UInt8] {
        do {
            return try response.serializedBytes()
        } catch {
            throw EtcdError(.internal, "etcdserver: an answer does not encode: \(error)")
        }
    }
}
