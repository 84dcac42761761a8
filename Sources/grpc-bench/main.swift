// A server whose one method does nothing, to measure what the wire costs, and a toy service to try
// clients on: grpc-bench PORT THREADS.
import GRPC
import Glibc
import NIOPosix

let arguments = CommandLine.arguments
guard arguments.count == 3, let port = Int(arguments[1]), let threads = Int(arguments[2]), threads > 0 else {
    print("usage: grpc-bench PORT THREADS")
    throw Status(.invalidArgument, "two numbers are needed")
}
let group = MultiThreadedEventLoopGroup(numberOfThreads: threads)
// A PutResponse with a header: cluster 1, member 1, revision 2, term 2.
let reply: [UInt8] = [0x0A, 8, 0x08, 1, 0x10, 1, 0x18, 2, 0x20, 2]
let doNothing: [String: Method] = ["/etcdserverpb.KV/Put": .unary { call, _ in call.respond(reply) }]
let methods = doNothing.merging(Toy.methods) { $1 }.merging(HealthService().methods) { $1 }
let server = Server(
    group: group, methods: methods,
    http: HTTPHandlers { call in
        call.respond(HTTPResponse(status: 200, text: "\(call.request.method) \(call.request.target)\n"))
    })
let address = try await server.bind(host: "127.0.0.1", port: port)
print("listening on \(address) with \(threads) event loops")
fflush(nil)
while true { try await Task.sleep(for: .seconds(3600)) }
