/// A small object of JSON, for what has no schema.
public enum JSONObject {
    /// The text of the member `name` of the first JSON value in `json`, as Go's decoder reads it into a structure with
    /// that one field: names in whatever case, the last one counts, null says nothing, and what follows the value is
    /// not looked at. Empty when there is none; nil when `json` is something else.
    public static func text(of name: String, in json: [UInt8]) -> String? {
        var scanner = JSONScanner()
        var end: Int?
        for (index, byte) in json.enumerated() where end == nil {
            guard let event = try? scanner.step(byte) else { return nil }
            if event != .goesOn { end = event == .ended ? index + 1 : index }
        }
        if end == nil, !scanner.finish() { return nil }
        var reader = JSONReader(schema: Schema(""), bytes: json[..<(end ?? json.count)])
        return reader.readText(of: name)
    }
}
