import Testing

@testable import Configuration

@Suite struct LogRotationTests {
    @Test func theDefaultsAreThoseOfEtcd() throws {
        let rotation = try LogRotation(parsing: LogRotation.standardText)
        #expect(rotation.maximumMegabytes == 100)
        #expect(try rotation == LogRotation(parsing: "{}"))
    }

    @Test func eachKeyIsRead() throws {
        let rotation = try LogRotation(
            parsing: #" {"maxsize":1, "MaxAge" : 2,"maxbackups":3,"localtime":true , "compress":true} "#)
        #expect(rotation.maximumMegabytes == 1)
        #expect(rotation.maximumAgeDays == 2)
        #expect(rotation.maximumBackups == 3)
        #expect(rotation.usesLocalTime && rotation.compresses)
    }

    @Test(
        arguments: [
            ("", "expected '{' at \"\""), ("{", "expected '\"' at \"\""), ("{\"maxsize\":}", "\"\" is no value"),
            ("{\"maxsize\":\"1\"}", "maxsize is no number"), ("{\"compress\":1}", "compress is neither true nor false"),
            ("{\"maxsize\":-1}", "a number is below zero"), ("{\"other\":1}", "unknown key \"other\""),
            ("{\"maxage\":9223372036854775807}", "9223372036854775807 is above 1000000000"),
            ("{\"maxsize\":17592186044416}", "17592186044416 is above 1000000000"),
            ("{} x", "expected the end at \"x\""),
        ])
    func whatIsWrongIsNamed(text: String, expected: String) {
        #expect {
            try LogRotation(parsing: text)
        } throws: { ($0 as? LogRotation.Invalid)?.reason == expected }
    }
}
