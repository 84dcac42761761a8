extension Double {
    /// The number as Go's Prometheus client writes it (format `g`): the fewest digits that give it back, with an exponent
    /// below 10⁻⁴ and from 10⁶ on. Bounds of buckets are label values, so they must be the same text.
    var goText: String {
        if isNaN { return "NaN" }
        if isInfinite { return self < 0 ? "-Inf" : "+Inf" }
        if self == 0 { return "0" }
        let (digits, exponent) = decimal
        let sign = self < 0 ? "-" : ""
        if exponent < -4 || exponent >= 6 {
            let fraction = digits.count > 1 ? "." + digits.dropFirst() : ""
            let places = abs(exponent) < 10 ? "0\(abs(exponent))" : "\(abs(exponent))"
            return "\(sign)\(digits.prefix(1))\(fraction)e\(exponent < 0 ? "-" : "+")\(places)"
        }
        if exponent < 0 { return sign + "0." + String(repeating: "0", count: -exponent - 1) + digits }
        let whole = digits.prefix(exponent + 1)
        let padded = whole + String(repeating: "0", count: exponent + 1 - whole.count)
        let rest = digits.dropFirst(exponent + 1)
        return sign + padded + (rest.isEmpty ? "" : "." + rest)
    }

    /// The shortest digits, without zeros at either end, and the power of ten of the first.
    private var decimal: (digits: String, exponent: Int) {
        let text = magnitude.description
        let halves = text.split(separator: "e")
        let parts = halves[0].split(separator: ".")
        let whole = String(parts[0])
        let fraction = parts.count > 1 ? String(parts[1]) : ""
        var exponent = (halves.count > 1 ? Int(halves[1]) ?? 0 : 0) + whole.count - 1
        var digits = Substring(whole + fraction)
        while digits.first == "0" && digits.count > 1 {
            digits.removeFirst()
            exponent -= 1
        }
        while digits.last == "0" && digits.count > 1 { digits.removeLast() }
        return (String(digits), exponent)
    }
}
