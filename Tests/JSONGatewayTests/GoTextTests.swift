import Testing

@testable import JSONMapping

/// What Go says of JSON that is none; every line was asked of etcd 3.4.23.
@Suite struct GoTextTests {
    @Test(arguments: [
        ("x", "invalid character 'x' looking for beginning of value")
    ])
    func refusals(json: String, text: String) {
        #expect(throws: JSONScanner.Failure(description: text)) { try JSONScanner.check(Array(json.utf8)[...]) }
    }
}
