/// A small object of JSON, for what has no schema.
public enum JSONObject {
    /// The members of `json`, when it is one object, whose values are strings; nil when it is none.
    public static func texts(_ json: [UInt8]) -> [String: String]? {
        guard (try? JSONScanner.check(json[...])) != nil else { return nil }
        var reader = JSONReader(schema: Schema(""), bytes: json[...])
        return reader.readTexts()
    }
}
