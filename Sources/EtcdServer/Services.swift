import Configuration
import Coordination
import EtcdAPI
import GRPC
import Logging
import MVCC
import NIOPosix
import Watch

/// The gRPC services of a member: what they are made of, and the table of their methods before any guard.
struct Services {
    /// The parts of the member that services reach for.
    struct Needs {
        var gateways: Gateways
        var member: MemberThread
        var status: MemberStatus
        var publisher: StorePublisher
        var large: LargeReads
        var hashers: NIOThreadPool
        var watch: WatchThread
        var leases: LeaseForwarder
        var promotion: Promotion
        var passwords: PasswordPool
        var configuration: MemberConfiguration
        var logger: Logger
        var observation: Observation
        var audit: AuditTrail?
    }

    /// What is told of all of them.
    let notice: ServingNotice
    /// By path; the first table that names a path has it.
    let methods: [String: Method]

    init(_ needs: Needs) {
        let health = HealthService()
        notice = ServingNotice(
            health, saysDefragmentation: needs.configuration.features.isOn("StopGRPCServiceOnDefrag"),
            logger: needs.logger)
        let requestLimit = needs.configuration.maxRequestBytes
        let keyValues = KeyValueService(
            gateways: needs.gateways, member: needs.member, status: needs.status, publisher: needs.publisher,
            large: needs.large,
            limits: .init(requestBytes: requestLimit, txnOperations: needs.configuration.maxTxnOperations),
            reads: needs.observation.reads)
        let leases = LeaseService(
            gateways: needs.gateways, member: needs.member, status: needs.status, forwarder: needs.leases,
            requestLimit: requestLimit)
        let maintenance = MaintenanceService(
            gateways: needs.gateways, member: needs.member, status: needs.status, hashers: needs.hashers,
            quota: needs.configuration.quotaBackendBytes, requestLimit: requestLimit,
            metrics: needs.observation.metrics, notice: notice)
        let waiting = WaitingCalls()
        let tables = [
            health.methods,
            keyValues.methods,
            leases.methods,
            maintenance.methods,
            WatchService(
                watch: needs.watch, publisher: needs.publisher, authority: needs.gateways.authority,
                audit: needs.audit
            ).methods,
            ClusterService(gateways: needs.gateways, member: needs.member, promotion: needs.promotion).methods,
            AuthService(
                gateways: needs.gateways, status: needs.status, passwords: needs.passwords, requestLimit: requestLimit
            ).methods,
            DowngradeService(gateways: needs.gateways, member: needs.member, status: needs.status).methods,
            LockService(waiting: waiting).methods,
            ElectionService(waiting: waiting).methods,
        ]
        let served = tables.reduce(into: [:]) { all, table in all.merge(table) { first, _ in first } }
        methods = served.merging(ReflectionService(of: served.keys).methods) { first, _ in first }
    }
}
