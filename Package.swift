// swift-tools-version: 6.2

import PackageDescription

/// Every target of ours is built alike: a warning is an error.
let strict: [SwiftSetting] = [.treatAllWarnings(as: .error)]

func library(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

func program(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(name: name, dependencies: dependencies, swiftSettings: strict)
}

func tests(_ name: String, _ dependencies: [Target.Dependency], resources: [Resource] = []) -> Target {
    .testTarget(name: name, dependencies: dependencies, resources: resources, swiftSettings: strict)
}

let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let log = Target.Dependency.product(name: "Logging", package: "swift-log")
let protobuf = Target.Dependency.product(name: "SwiftProtobuf", package: "swift-protobuf")
let nio: [Target.Dependency] = [
    .product(name: "NIOCore", package: "swift-nio"),
    .product(name: "NIOPosix", package: "swift-nio"),
    .product(name: "NIOHTTP1", package: "swift-nio"),
    .product(name: "NIOWebSocket", package: "swift-nio"),
    .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
]
let nioEmbedded = Target.Dependency.product(name: "NIOEmbedded", package: "swift-nio")

let package = Package(
    name: "swift-etcd",
    products: [
        .executable(name: "etcd", targets: ["etcd"]),
        .library(name: "Raft", targets: ["Raft"]),
        .library(name: "WriteAheadLog", targets: ["WriteAheadLog"]),
        .library(name: "Bolt", targets: ["Bolt"]),
        .library(name: "MVCC", targets: ["MVCC"]),
        .library(name: "GRPC", targets: ["GRPC"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-certificates", from: "1.21.1"),
        .package(url: "https://github.com/apple/swift-asn1", from: "1.7.4"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        .systemLibrary(name: "CNGHTTP2", pkgConfig: "libnghttp2", providers: [.apt(["libnghttp2-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CCrypt", providers: [.apt(["libcrypt-dev"])]),
        .target(name: "CChecksum"),
        .target(name: "CResolver"),
        library("Checksum", ["CChecksum"]),
        library("WireFormat"),
        library("Disk"),
        library("Linearizability"),
        library("Metrics"),
        library("RaftMessages", ["WireFormat"]),
        library("Raft", ["RaftMessages"]),
        library("RaftTranscript", ["Raft", "RaftMessages"]),
        library("WriteAheadLog", ["Checksum", "Disk", "RaftMessages", "WireFormat"]),
        library("Bolt", ["Checksum", "Disk"]),
        library("Backend", ["Bolt", "Checksum", "Disk"]),
        library("MVCC", ["Backend", "Checksum", "WireFormat"]),
        library("Lease", ["WireFormat"]),
        library("Watch", ["WireFormat"]),
        library("Reflection", ["WireFormat"]),
        library("StoreV2", ["WireFormat"]),
        library("Membership", ["RaftMessages", "StoreV2", crypto]),
        library("Configuration", ["Membership", .product(name: "Yams", package: "Yams")]),
        library("LogOutput", ["CZlib", "Configuration", log]),
        library("Discovery", ["Membership", "StoreV2"]),
        library("EtcdAPI", ["WireFormat", protobuf]),
        library("Password", ["CCrypt"]),
        library("Auth", ["Backend", "EtcdAPI", "WireFormat"]),
        library(
            "AuthToken",
            [
                "Auth", "Configuration", crypto, .product(name: "CryptoExtras", package: "swift-crypto"),
                .product(name: "X509", package: "swift-certificates"),
            ]),
        library(
            "Applier",
            [
                "Auth", "Backend", "EtcdAPI", "Lease", "MVCC", "Membership", "Password", "RaftMessages", "StoreV2",
                "WireFormat", protobuf,
            ]),
        library(
            "Member",
            [
                "Applier", "Auth", "Backend", "Configuration", "Disk", "EtcdAPI", "Lease", "MVCC", "Membership",
                "Raft", "RaftMessages", "StoreV2", "WireFormat", "WriteAheadLog", protobuf,
            ]),
        library(
            "TLS",
            [
                crypto, .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "NIOTLS", package: "swift-nio"),
                .product(name: "SwiftASN1", package: "swift-asn1"),
                .product(name: "X509", package: "swift-certificates"),
            ] + nio),
        library("Sockets", nio),
        library("GRPC", ["CNGHTTP2", "CZlib", "Sockets", "TLS"] + nio),
        library("Coordination", ["EtcdAPI", "GRPC", protobuf] + nio),
        library("AuditLog", ["EtcdAPI", "WireFormat", crypto, protobuf]),
        library("JSONMapping", ["WireFormat"]),
        library("JSONGateway", ["GRPC", "JSONMapping"] + nio),
        library("Tracing", ["GRPC", "WireFormat"] + nio),
        library("PeerProtocol", ["RaftMessages", "WireFormat"]),
        library(
            "PeerTransport",
            [
                "Backend", "Bolt", "Disk", "Membership", "Metrics", "PeerProtocol", "RaftMessages", "Sockets", "TLS",
                "WriteAheadLog", crypto, log,
            ] + nio),
        library(
            "EtcdServer",
            [
                "Applier", "AuditLog", "Auth", "AuthToken", "Backend", "CResolver", "Configuration", "Coordination",
                "Discovery", "Disk",
                "EtcdAPI", "GRPC", "JSONGateway", "JSONMapping", "Lease", "LogOutput", "MVCC", "Member", "Membership",
                "Metrics", "Password", "PeerTransport", "Raft", "RaftMessages", "Reflection", "Sockets",
                "StoreV2", "TLS",
                "Tracing",
                "Watch", "WireFormat", "WriteAheadLog", crypto, log, protobuf,
            ] + nio),
        library(
            "Simulation",
            [
                "Applier", "Backend", "Bolt", "Configuration", "Disk", "EtcdAPI", "Lease", "Linearizability", "MVCC",
                "Member",
                "Membership",
                "Raft", "RaftMessages", "Watch", "WireFormat", "WriteAheadLog", protobuf,
            ]),
        program("simulate", ["Simulation"]),
        program("etcd", ["Configuration", "EtcdServer", "LogOutput", log]),
        program("bolt-check", ["Bolt", "Disk"]),
        program("check-history", ["Disk", "Linearizability"]),
        program("grpc-bench", ["GRPC"] + nio),
        program("raft-transcript", ["RaftTranscript"]),
        // For tests that talk to the machine's genuine etcd.
        .target(name: "GenuineEtcd", path: "Tests/GenuineEtcd", swiftSettings: strict),
        tests("ChecksumTests", ["Checksum"]),
        tests("WireFormatTests", ["WireFormat"]),
        tests("DiskTests", ["Disk"]),
        tests("LinearizabilityTests", ["Linearizability"]),
        tests("MetricsTests", ["Metrics"]),
        tests("RaftMessagesTests", ["RaftMessages", "WireFormat"]),
        tests("DiscoveryTests", ["Discovery", "Membership", "StoreV2"]),
        tests("StoreV2Tests", ["StoreV2", "WireFormat"]),
        tests("MembershipTests", ["Membership", "RaftMessages", "StoreV2"]),
        tests("ConfigurationTests", ["Configuration"]),
        tests("LogOutputTests", ["Configuration", "LogOutput", log]),
        tests(
            "WriteAheadLogTests", ["Checksum", "Disk", "GenuineEtcd", "RaftMessages", "WireFormat", "WriteAheadLog"]),
        tests("RaftTests", ["Raft", "RaftMessages", "RaftTranscript"], resources: [.copy("testdata")]),
        tests("BoltTests", ["Bolt", "Disk", "GenuineEtcd"]),
        tests(
            "EtcdServerTests",
            ["Configuration", "Disk", "EtcdServer", "Membership", "PeerTransport", "WriteAheadLog", log]),
        tests("PeerProtocolTests", ["PeerProtocol", "RaftMessages", "WireFormat"]),
        tests(
            "PeerTransportTests",
            [
                "Backend", "Bolt", "Disk", "GenuineEtcd", "Membership", "Metrics", "PeerProtocol", "PeerTransport",
                "RaftMessages",
                "WriteAheadLog", log,
            ] + nio),
        tests(
            "TLSTests",
            [
                "GRPC", "TLS", crypto, nioEmbedded, .product(name: "CryptoExtras", package: "swift-crypto"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "SwiftASN1", package: "swift-asn1"),
                .product(name: "X509", package: "swift-certificates"),
            ] + nio),
        tests("SocketsTests", ["Sockets"] + nio),
        tests("GRPCTests", ["GRPC", "CNGHTTP2", nioEmbedded] + nio),
        tests("BackendTests", ["Backend", "Bolt", "Disk"]),
        tests("MVCCTests", ["Backend", "Bolt", "Disk", "GenuineEtcd", "MVCC", "WireFormat"]),
        tests(
            "ApplierTests",
            [
                "Applier", "Auth", "Backend", "Disk", "EtcdAPI", "Lease", "MVCC", "Membership", "Password",
                "RaftMessages", "StoreV2", "WireFormat", protobuf,
            ]),
        tests(
            "MemberTests",
            [
                "Applier", "Backend", "Bolt", "Configuration", "Disk", "EtcdAPI", "Lease", "MVCC", "Member",
                "Membership",
                "Raft", "RaftMessages", "StoreV2", "WireFormat", "WriteAheadLog", protobuf,
            ]),
        tests("SimulationTests", ["Disk", "Simulation"]),
        tests("EtcdAPITests", ["EtcdAPI", "WireFormat", protobuf]),
        tests("JSONGatewayTests", ["EtcdAPI", "GRPC", "JSONGateway", "JSONMapping", nioEmbedded, protobuf] + nio),
        tests("LeaseTests", ["Lease", "WireFormat"]),
        tests("PasswordTests", ["Password"]),
        tests("AuthTests", ["Auth", "Backend", "Disk", "EtcdAPI", "WireFormat"]),
        tests(
            "AuthTokenTests",
            [
                "Auth", "AuthToken", crypto, .product(name: "CryptoExtras", package: "swift-crypto"),
                .product(name: "X509", package: "swift-certificates"),
            ]),
        tests("TracingTests", ["GRPC", "Tracing"] + nio),
        tests("WatchTests", ["Watch", "WireFormat"]),
        tests("CoordinationTests", ["Coordination", "GRPC"]),
        tests("AuditLogTests", ["AuditLog", "EtcdAPI", protobuf]),
        tests("ReflectionTests", ["EtcdAPI", "Reflection", "WireFormat"]),
    ],
    swiftLanguageModes: [.v6]
)
