import Testing

@testable import JSONMapping

/// What Go says of JSON that is none; the lines were asked of etcd 3.4.23.
@Suite struct GoTextTests {
    @Test(arguments: [
        ("x", "invalid character 'x' looking for beginning of value"),
        ("{x", "invalid character 'x' looking for beginning of object key string"),
        ("{\"a\",", "invalid character ',' after object key"),
        ("{\"a\":1 2", "invalid character '2' after object key:value pair"),
        ("[1 2", "invalid character '2' after array element"),
        ("1 2", "invalid character '2' after top-level value"),
        ("\"\u{1}", "invalid character '\\x01' in string literal"),
        ("\"\\x", "invalid character 'x' in string escape code"),
        ("\"\\u00g", "invalid character 'g' in \\u hexadecimal character escape"),
        ("-x", "invalid character 'x' in numeric literal"),
        ("1.x", "invalid character 'x' after decimal point in numeric literal"),
        ("1ex", "invalid character 'x' in exponent of numeric literal"),
        ("truE", "invalid character 'E' in literal true (expecting 'e')"),
        ("nuxl", "invalid character 'x' in literal null (expecting 'l')"),
        ("01", "invalid character '1' after top-level value"),
        ("'", "invalid character '\\'' looking for beginning of value"),
        ("\\", "invalid character '\\\\' looking for beginning of value"),
        ("é", "invalid character 'Ã' looking for beginning of value"),
        ("", "unexpected end of JSON input"), ("[1,", "unexpected end of JSON input"),
        ("1.", "unexpected end of JSON input"), ("\"a", "unexpected end of JSON input"),
    ])
    func refusals(json: String, text: String) {
        #expect(throws: JSONScanner.Failure(description: text)) { try JSONScanner.check(Array(json.utf8)[...]) }
    }

    @Test(arguments: [
        "0", "-0", "10", "1.5", "1e5", "1E+5", "-1.5e-7", "true", "false", "null", "\"\"", "\"\\u00e9\\n\"", "[]", "{}",
        " [1, {\"a\": [null]} , \"\" ] ", "{\"a\":1,\"a\":2}",
    ])
    func values(json: String) throws {
        try JSONScanner.check(Array(json.utf8)[...])
    }

    /// Ten thousand levels are taken and not one more.
    @Test func depth() throws {
        let most = 10_000
        func nested(_ levels: Int) -> [UInt8] {
            Array(repeating: UInt8(ascii: "["), count: levels) + Array(repeating: UInt8(ascii: "]"), count: levels)
        }
        try JSONScanner.check(nested(most)[...])
        let text = "invalid character '[' exceeded max depth"
        #expect(throws: JSONScanner.Failure(description: text)) { try JSONScanner.check(nested(most + 1)[...]) }
    }

    /// Values follow each other without anything between them, and however they are cut.
    @Test func valuesOfAStream() throws {
        let text = #"{"a":"}"}[1]12 true"x"{}"#
        var scanner = JSONScanner()
        var values: [String] = []
        var value: [UInt8] = []
        for byte in Array(text.utf8) {
            switch try scanner.step(byte) {
            case .goesOn:
                value.append(byte)
                continue
            case .ended: value.append(byte)
            case .endedBefore: break
            }
            values.append(String(decoding: value, as: UTF8.self))
            value = []
        }
        #expect(values == [#"{"a":"}"}"#, "[1]", "12", "true", #""x""#, "{}"])
        #expect(!scanner.isInsideValue)
        let hasEnded = scanner.finish()
        #expect(!hasEnded)
    }

    @Test func aNumberAtTheEndEndsWithTheStream() throws {
        var scanner = JSONScanner()
        for byte in Array("12".utf8) {
            let event = try scanner.step(byte)
            #expect(event == .goesOn)
        }
        let hasEnded = scanner.finish()
        #expect(hasEnded)
    }

    @Test(arguments: [
        ("Zm9v", "foo"), ("Zm8=", "fo"), ("Zg==", "f"), ("", ""), ("Zm9\nv", "foo"), ("Zg=\r\n=", "f"), ("Zg==\n", "f"),
    ])
    func base64(text: String, plain: String) throws {
        #expect(try Base64Text.decode(Array(text.utf8)) == Array(plain.utf8))
    }

    @Test(arguments: [
        ("Zm9", 0), ("Zg", 0), ("Zg=", 3), ("Zm 9v", 2), ("_-8=", 0), ("Z===", 1), ("=g==", 0), ("Zg==Zg==", 4),
        ("Zm8=x", 4), ("Zm9vZg", 4), ("Zg=x", 2), ("Zg===", 4),
    ])
    func corruptBase64(text: String, position: Int) {
        #expect(throws: Base64Text.Corrupt(position: position)) { try Base64Text.decode(Array(text.utf8)) }
    }

    @Test(arguments: [
        ("a", "\"a\""), ("\"\\\n\r\t\u{8}\u{c}\u{1}", #""\"\\\n\r\t\b\f\u0001""#), ("<&>", #""\u003c\u0026\u003e""#),
        ("é\u{1F600}\u{7f}", "\"é\u{1F600}\u{7f}\""), ("\u{2028}\u{2029}", #""\u2028\u2029""#),
    ])
    func strings(text: String, json: String) {
        #expect(JSONString.quoted(text) == json)
        #expect(JSONText.unescape(Array(json.utf8.dropFirst().dropLast())[...]) == Array(text.utf8))
    }

    @Test(arguments: [
        (#"\ud83d\ude00"#, "\u{1F600}"), (#"\ud800"#, "\u{FFFD}"), (#"\ud800x"#, "\u{FFFD}x"),
        (#"\ud800\u0041"#, "\u{FFFD}A"), (#"\udc00\ud800"#, "\u{FFFD}\u{FFFD}"), (#"\/"#, "/"),
    ])
    func surrogates(json: String, text: String) {
        #expect(String(decoding: JSONText.unescape(Array(json.utf8)[...]), as: UTF8.self) == text)
    }

    @Test func textThatIsNoUnicode() {
        #expect(JSONText.unescape([0x61, 0xFF, 0x62]) == Array("a\u{FFFD}b".utf8))
    }
}
