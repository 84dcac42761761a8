// A server whose one method does nothing, to measure what the wire costs: grpc-bench PORT THREADS.
import GRPC
import NIOPosix

let arguments = CommandLine.arguments
guard arguments.count == 3, let port = Int(arguments[1]), let threads = Int(arguments[2]), threads > 0 else {
    print("usage: grpc-bench PORT THREADS")
    throw Status(.invalidArgument, "two numbers are needed")
}
let group = MultiThreadedEventLoopGroup(numberOfThreads: threads)
let reply: [UInt8] = Array(repeating: 0x0A, count: 10)
let server = Server(
    group: group,
    methods: ["/etcdserverpb.KV/Put": .unary { call, _ in call.respond(reply) }]
)
let address = try await server.bind(host: "127.0.0.1", port: port)
print("listening on \(address) with \(threads) event loops")
while true { try await Task.sleep(for: .seconds(3600)) }
