/// Bytes as JSON has them: base64 with padding, in the alphabet with `+` and `/`.
enum Base64Text {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    private static let invalid: UInt8 = 0xFF
    private static let values: [UInt8] = {
        var table = [UInt8](repeating: invalid, count: 256)
        for (value, letter) in alphabet.enumerated() { table[Int(letter)] = UInt8(value) }
        return table
    }()

    /// How many groups of four letters are made at a time.
    private static let blockGroups = 256

    /// Appends `bytes` as base64.
    static func append(_ bytes: UnsafeRawBufferPointer, to json: inout [UInt8]) {
        json.reserveCapacity(json.count + (bytes.count + 2) / 3 * 4)
        var index = 0
        alphabet.withUnsafeBufferPointer { alphabet in
            withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 4 * Self.blockGroups) { block in
                while index + 2 < bytes.count {
                    let groups = min(Self.blockGroups, (bytes.count - index) / 3)
                    for group in 0..<groups {
                        let (first, second, third) = (bytes[index], bytes[index + 1], bytes[index + 2])
                        block[4 * group] = alphabet[Int(first >> 2)]
                        block[4 * group + 1] = alphabet[Int((first & 3) << 4 | second >> 4)]
                        block[4 * group + 2] = alphabet[Int((second & 15) << 2 | third >> 6)]
                        block[4 * group + 3] = alphabet[Int(third & 63)]
                        index += 3
                    }
                    json.append(contentsOf: UnsafeBufferPointer(rebasing: block[..<(4 * groups)]))
                }
            }
        }
        switch bytes.count - index {
        case 1:
            append(UInt32(bytes[index]) << 16, letters: 2, to: &json)
            json.append(contentsOf: "==".utf8)
        case 2:
            append(UInt32(bytes[index]) << 16 | UInt32(bytes[index + 1]) << 8, letters: 3, to: &json)
            json.append(UInt8(ascii: "="))
        default: break
        }
    }

    private static func append(_ group: UInt32, letters: Int, to json: inout [UInt8]) {
        for letter in 0..<letters { json.append(alphabet[Int(group >> UInt32(18 - 6 * letter) & 63)]) }
    }

    /// Where base64 went wrong: the position that Go's decoder names.
    struct Corrupt: Error, Equatable {
        let position: Int
    }

    /// The bytes that `text` stands for. Line ends in it are passed over.
    static func decode(_ text: [UInt8]) throws(Corrupt) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count / 4 * 3)
        var position = 0
        while true {
            var group: UInt32 = 0
            var letters = 0
            while letters < 4 {
                guard position < text.count else {
                    guard letters == 0 else { throw Corrupt(position: position - letters) }
                    return bytes
                }
                let letter = text[position]
                position += 1
                if letter == 0x0A || letter == 0x0D { continue }
                let value = values[Int(letter)]
                if value == invalid {
                    guard letter == UInt8(ascii: "="), letters >= 2 else { throw Corrupt(position: position - 1) }
                    try checkPadding(text, position, letters)
                    group <<= UInt32(6 * (4 - letters))
                    bytes.append(UInt8(truncatingIfNeeded: group >> 16))
                    if letters == 3 { bytes.append(UInt8(truncatingIfNeeded: group >> 8)) }
                    return bytes
                }
                group = group << 6 | UInt32(value)
                letters += 1
            }
            for shift in [16, 8, 0] as [UInt32] { bytes.append(UInt8(truncatingIfNeeded: group >> shift)) }
        }
    }

    /// Checks what follows the first `=`: another one when two letters came before, and then nothing.
    private static func checkPadding(_ text: [UInt8], _ start: Int, _ letters: Int) throws(Corrupt) {
        var position = start
        func skipLineEnds() {
            while position < text.count, text[position] == 0x0A || text[position] == 0x0D { position += 1 }
        }
        if letters == 2 {
            skipLineEnds()
            guard position < text.count else { throw Corrupt(position: text.count) }
            guard text[position] == UInt8(ascii: "=") else { throw Corrupt(position: position - 1) }
            position += 1
        }
        skipLineEnds()
        guard position >= text.count else { throw Corrupt(position: position) }
    }
}
