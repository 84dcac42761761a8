import CResolver
import Configuration
import Discovery
import Logging
import Member
import Membership

/// Looks the members of a new cluster up in the DNS.
enum ServiceRecordLookup {
    /// The longest answer: what fits into one of DNS over TCP.
    private static let answerBytes = 65_535

    /// The initial cluster that the records of the configuration's domain make, as `name=URL,…`.
    static func cluster(_ configuration: MemberConfiguration, logger: Logger) async throws(StartError) -> String {
        let discovery = configuration.discovery
        var own: [String: String] = [:]
        for text in configuration.initialAdvertisePeerURLs {
            guard let url = try? ServiceURL(parsing: text), url.scheme == .http || url.scheme == .https else {
                continue
            }
            guard let address = await HostResolver.address(of: url.host) else {
                throw StartError("lookup \(url.host): no such host")
            }
            own["\(address):\(url.port)"] = url.scheme.rawValue
        }
        var found: [ServiceDiscovery.Found] = []
        var problems: [String] = []
        let queries = ServiceDiscovery.serverQueries(domain: discovery.srvDomain, suffix: discovery.srvName)
        for query in queries {
            do {
                var part = ServiceDiscovery.Found(scheme: query.scheme, records: [])
                for record in try await records(query.name) where !record.target.isEmpty {
                    guard let address = await HostResolver.address(of: record.target) else {
                        logger.warning(
                            "failed to resolve the target of an SRV record",
                            metadata: ["service": .string(query.name), "target": .string(record.target)])
                        continue
                    }
                    part.records.append((record, address))
                }
                found.append(part)
            } catch {
                problems.append("error querying DNS SRV records for \(query.name): \(error)")
            }
        }
        let (text, notes) = ServiceDiscovery.cluster(found, name: configuration.name, own: own)
        for note in notes { logger.warning("\(note)") }
        logger.info(
            "got bootstrap from DNS",
            metadata: [
                "dns-cluster": .string(discovery.srvDomain), "service-suffix": .string(discovery.srvName),
                "initial-cluster": .string(text),
            ])
        guard !text.isEmpty else {
            throw StartError((problems + notes).joined(separator: "; "))
        }
        return text
    }

    private struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    private static func records(_ name: String) async throws -> [ServiceRecord] {
        // The system's resolver waits for its answer.
        try await Task.detached {
            var answer = [UInt8](repeating: 0, count: answerBytes)
            let length = resolver_services(name, &answer, Int32(answer.count))
            guard length >= 0 else { throw Failure(description: String(cString: hstrerror(-length))) }
            return try DNSAnswer.services(in: Array(answer[..<Int(length)]))
        }.value
    }
}
