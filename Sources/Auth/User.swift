import WireFormat

/// A user as it is kept in the bucket `authUsers` (`authpb.User`). Names are bytes here: two spellings of one letter are
/// two names, as in Go.
public struct User: Equatable, Sendable {
    public var name: [UInt8]
    /// The bcrypt hash of the password; empty for a user that logs in by certificate alone.
    public var passwordHash: [UInt8]
    /// The roles in the order of their bytes.
    public var roles: [[UInt8]]
    /// Whether the user has no password and cannot log in with one.
    public var hasNoPassword: Bool

    /// The one user that can enable auth.
    public static let root = Array("root".utf8)

    /// A user without roles.
    public init(name: [UInt8], passwordHash: [UInt8], hasNoPassword: Bool) {
        self.name = name
        self.passwordHash = passwordHash
        self.hasNoPassword = hasNoPassword
        roles = []
    }

    /// Whether the user may do everything.
    public var isRoot: Bool { roles.contains(Role.root) }

    /// The user in `bytes`.
    public init(decoding bytes: UnsafeRawBufferPointer) throws(WireError) {
        self.init(name: [], passwordHash: [], hasNoPassword: false)
        var reader = WireReader(bytes)
        while let tag = try reader.next() {
            switch tag.field {
            case 1: name = try reader.byteArray(tag)
            case 2: passwordHash = try reader.byteArray(tag)
            case 3: roles.append(try reader.byteArray(tag))
            case 4: hasNoPassword = try Self.noPassword(try reader.bytes(tag))
            default: try reader.skip(tag)
            }
        }
    }

    private static func noPassword(_ bytes: UnsafeRawBufferPointer) throws(WireError) -> Bool {
        var value = false
        var reader = WireReader(bytes)
        while let tag = try reader.next() {
            if tag.field == 1 { value = try reader.bool(tag) } else { try reader.skip(tag) }
        }
        return value
    }

    /// The user as etcd writes it. The options are there even when they say nothing: Go's members read them unchecked.
    public var encoded: [UInt8] {
        var writer = WireWriter()
        writer.bytes(1, name)
        writer.bytes(2, passwordHash)
        for role in roles { writer.alwaysBytes(3, role) }
        var options = WireWriter()
        options.bool(1, hasNoPassword)
        writer.alwaysBytes(4, options.bytes)
        return writer.bytes
    }
}

/// A role as it is kept in the bucket `authRoles` (`authpb.Role`).
public struct Role: Equatable, Sendable {
    public var name: [UInt8]
    /// In the order of their keys' bytes.
    public var permissions: [Permission]

    /// The role that may do everything, whatever its permissions.
    public static let root = Array("root".utf8)

    /// A role without permissions.
    public init(name: [UInt8]) {
        self.name = name
        permissions = []
    }

    /// The role in `bytes`.
    public init(decoding bytes: UnsafeRawBufferPointer) throws(WireError) {
        self.init(name: [])
        var reader = WireReader(bytes)
        while let tag = try reader.next() {
            switch tag.field {
            case 1: name = try reader.byteArray(tag)
            case 2: permissions.append(try Permission(decoding: try reader.bytes(tag)))
            default: try reader.skip(tag)
            }
        }
    }

    /// The role as etcd writes it.
    public var encoded: [UInt8] {
        var writer = WireWriter()
        writer.bytes(1, name)
        for permission in permissions { writer.alwaysBytes(2, permission.encoded) }
        return writer.bytes
    }
}
