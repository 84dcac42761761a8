import Glibc
import JSONMapping
import Metrics
import Raft

/// `/debug/vars`: variables of the process in the form of Go's package `expvar`.
enum DebugVariables {
    static func text(_ member: MemberThread) -> String {
        let arguments = withoutSecrets(CommandLine.arguments).map { JSONString.quoted($0) }.joined(separator: ",")
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        let lines = [
            "\"cmdline\": [\(arguments)]", "\"file_descriptor_limit\": \(limit.rlim_cur)",
            "\"memstats\": {\(memory())}", "\"raft.status\": \(raft(member.core.raft.status))",
        ]
        return "{\n" + lines.joined(separator: ",\n") + "\n}\n"
    }

    /// Flags whose values are passwords, or may hold one: the page is for everybody.
    private static let secrets: Set<String> = ["discovery-password", "discovery-user"]

    /// `arguments` with nothing in the place of secrets.
    static func withoutSecrets(_ arguments: [String]) -> [String] {
        var isSecret = false
        return arguments.map { argument in
            defer { isSecret = argument.hasPrefix("-") && secrets.contains(String(argument.drop { $0 == "-" })) }
            if isSecret { return "***" }
            guard argument.hasPrefix("-"), let equals = argument.firstIndex(of: "=") else { return argument }
            let name = argument[..<equals].drop { $0 == "-" }
            return secrets.contains(String(name)) ? argument[...equals] + "***" : argument
        }
    }

    /// Of Go's numbers those that a program without a collector has: what is in RAM, and what there are addresses for.
    private static func memory() -> String {
        guard let memory = ProcessMetrics.memory else { return "" }
        return "\"Alloc\":\(memory.resident),\"Sys\":\(memory.virtual)"
    }

    /// Raft's status as etcd's Raft writes it.
    private static func raft(_ status: Raft.Status) -> String {
        func hex(_ id: UInt64) -> String { String(id, radix: 16) }
        let basic = status.basic
        let progress = status.progress.sorted { $0.key < $1.key }.map { id, progress in
            "\"\(hex(id))\":{\"match\":\(progress.match),\"next\":\(progress.next),"
                + "\"state\":\"\(progress.state.rawValue)\"}"
        }
        return
            "{\"id\":\"\(hex(basic.id))\",\"term\":\(basic.hardState.term),\"vote\":\"\(hex(basic.hardState.vote))\","
            + "\"commit\":\(basic.hardState.commit),\"lead\":\"\(hex(basic.softState.leader))\","
            + "\"raftState\":\"\(basic.softState.role.rawValue)\",\"applied\":\(basic.applied),"
            + "\"progress\":{\(progress.joined(separator: ","))},\"leadtransferee\":\"\(hex(basic.leadTransferee))\"}"
    }
}
