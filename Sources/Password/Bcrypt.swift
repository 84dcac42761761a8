import CCrypt
import Glibc

/// bcrypt, through the system's libcrypt (libxcrypt).
///
/// etcd keeps hashes as Go's bcrypt writes them: `$2a$`, two digits of cost, 22 characters of salt and 31 of hash. Both
/// directions take as long as the cost says, about 50 ms at cost 10, so they belong on a thread that may wait.
public enum Bcrypt {
    /// What etcd takes unless it is told otherwise (Go's `bcrypt.DefaultCost`).
    public static let defaultCost = 10
    /// The costs that bcrypt knows.
    public static let costs = 4...31
    /// The bytes of a salt.
    public static let saltLength = 16
    /// bcrypt looks at no more bytes than these, so a longer password would promise more than it keeps.
    public static let passwordLimit = 72

    /// Why a password could not be hashed.
    public enum Failure: Error, Equatable, CustomStringConvertible {
        case tooLong
        case containsZero
        case refusedByLibrary

        public var description: String {
            switch self {
            case .tooLong: "bcrypt: password length exceeds \(Bcrypt.passwordLimit) bytes"
            case .containsZero: "bcrypt: password contains a zero byte"
            case .refusedByLibrary: "bcrypt: the system's crypt library does not hash"
            }
        }
    }

    /// The hash of `password` with `salt`, of 16 random bytes, at `cost`, which must be in ``costs``.
    public static func hash(
        _ password: some Collection<UInt8>, cost: Int, salt: [UInt8]
    ) throws(Failure) -> [UInt8] {
        precondition(costs.contains(cost), "a cost is one that bcrypt knows")
        precondition(salt.count == saltLength, "a salt has 16 bytes")
        if password.count > passwordLimit { throw .tooLong }
        return try hashCut(password, cost: cost, salt: salt)
    }

    /// As ``hash(_:cost:salt:)``, but what is behind the 72nd byte of a long password is left out instead of refused: what
    /// etcd 3.4 does.
    public static func hashCut(
        _ password: some Collection<UInt8>, cost: Int, salt: [UInt8]
    ) throws(Failure) -> [UInt8] {
        if password.contains(0) { throw .containsZero }
        let digits = cost < 10 ? "0\(cost)" : "\(cost)"
        let setting = Array("$2b$\(digits)$".utf8) + encode(salt)
        guard var hash = crypt(Array(password), setting) else { throw .refusedByLibrary }
        // The letter under which Go writes the same.
        hash[2] = UInt8(ascii: "a")
        return hash
    }

    /// Whether `hash` is one of `password`. Takes as long for a wrong password as for the right one.
    public static func verify(_ password: some Collection<UInt8>, against hash: [UInt8]) -> Bool {
        // $2?$cc$ and 53 characters.
        guard hash.count == 60, hash.starts(with: "$2".utf8), hash[3] == UInt8(ascii: "$") else { return false }
        if password.contains(0) { return false }
        // What Go calls 2a is what the library calls 2b; its 2a has precautions that Go's lacks.
        var setting = hash
        setting[2] = UInt8(ascii: "b")
        guard let computed = crypt(Array(password), setting), computed.count == hash.count else { return false }
        var difference: UInt8 = 0
        for index in 4..<hash.count { difference |= computed[index] ^ hash[index] }
        return difference == 0
    }

    private static func crypt(_ password: [UInt8], _ setting: [UInt8]) -> [UInt8]? {
        let size = MemoryLayout<crypt_data>.size
        let scratch = UnsafeMutablePointer<crypt_data>.allocate(capacity: 1)
        // A new crypt_data is to be all zeros.
        explicit_bzero(scratch, size)
        defer {
            // The password must not stay in memory that is given back.
            explicit_bzero(scratch, size)
            scratch.deallocate()
        }
        let phrase = password.map { CChar(bitPattern: $0) } + [0]
        let template = setting.map { CChar(bitPattern: $0) } + [0]
        guard let found = crypt_rn(phrase, template, scratch, CInt(size)) else { return nil }
        let bytes = (0..<strlen(found)).map { UInt8(bitPattern: found[$0]) }
        return bytes.first == UInt8(ascii: "*") ? nil : bytes
    }

    /// bcrypt's own base 64: another alphabet, and no padding.
    private static func encode(_ salt: [UInt8]) -> [UInt8] {
        let alphabet = Array("./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789".utf8)
        var text: [UInt8] = []
        var bits: UInt32 = 0
        var count = 0
        for byte in salt {
            bits = bits << 8 | UInt32(byte)
            count += 8
            while count >= 6 {
                count -= 6
                text.append(alphabet[Int(bits >> UInt32(count) & 63)])
            }
        }
        if count > 0 { text.append(alphabet[Int(bits << UInt32(6 - count) & 63)]) }
        return text
    }
}
